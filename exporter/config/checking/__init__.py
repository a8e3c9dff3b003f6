"""What takes more than one value to check, and the files that a configuration names."""
