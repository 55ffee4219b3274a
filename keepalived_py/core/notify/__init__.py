"""Who is told of a role, in keepalived's order."""
