"""Who is master: the VRRP state machine (RFC 3768, RFC 9568) as keepalived runs it."""
