"""Signing policies and the expiry of certificates. Pure."""
