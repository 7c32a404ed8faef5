"""Signing policies and the expiry of certificates. No I/O."""
