"""Who holds, decided by a quorum: promises, leases, rank.  Pure: no clock, no socket."""
