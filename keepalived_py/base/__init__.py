"""Values that every room may use: time, names, addresses, the exception tree, logging."""
