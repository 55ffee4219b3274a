"""The command line, option for option keepalived's own, and the commands behind it."""
