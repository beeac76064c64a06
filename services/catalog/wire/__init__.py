"""How values look on the wire: pairs of pure functions."""
