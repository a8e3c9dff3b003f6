"""Faults: what goes wrong, and with which requests."""
