"""How the world is reached: one technique and role per file."""
