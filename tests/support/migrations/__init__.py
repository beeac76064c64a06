"""The schema of the tests' own service: a list of notes."""
