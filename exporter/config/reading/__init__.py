"""From text to values: a YAML file that knows its lines, and what a single value may be."""
