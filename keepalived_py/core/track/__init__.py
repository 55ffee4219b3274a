"""What an instance's health depends on: check scripts and interfaces."""
