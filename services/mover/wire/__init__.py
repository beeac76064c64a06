"""How the mover's values look on the wire: pairs of pure functions."""
