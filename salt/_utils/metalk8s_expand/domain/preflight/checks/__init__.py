"""The checks of a host, by subject. Each is one function with the decorator of ``registry``."""
