"""What the tests of the journal, and of those that use it, share."""
