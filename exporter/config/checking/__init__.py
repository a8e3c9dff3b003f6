"""Checks values that depend on each other, and the files that a configuration names."""
