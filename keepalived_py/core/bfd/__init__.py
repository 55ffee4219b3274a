"""BFD sessions (RFC 5880, 5881, 5883): who a packet is for, and what follows from it."""
