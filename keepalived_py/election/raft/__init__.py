"""The quorum back-end: leases over datagrams between the members, and the log that remembers."""
