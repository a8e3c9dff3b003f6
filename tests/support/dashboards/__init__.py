"""What the tests of dashboards have in common."""
