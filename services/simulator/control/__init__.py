"""The simulator's own interface: faults, and looking in from the side."""
