"""The parent process: it reads the configuration, starts the workers, watches over them, stops them."""
