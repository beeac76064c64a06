"""How the mover reaches the world: one class per file."""
