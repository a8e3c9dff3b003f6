"""Reads YAML to values that know their lines, and parses single values: URLs, durations, addresses."""
