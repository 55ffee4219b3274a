"""What a master puts into the kernel, takes out again, and announces."""
