"""Where something stands in a file, what is wrong with it, and how to show that to a person."""
