"""Effects performed on the real machine: sockets, netlink, processes, scheduling."""
