"""What an instance's health depends on: check scripts, interfaces, files, processes, BFD sessions."""
