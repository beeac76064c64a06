"""How values look on the wire."""
