"""keepalived-py: virtual addresses that move between machines, decided by VRRP."""

__version__ = "0.1.0"
