"""What goes wrong, and with which requests."""
