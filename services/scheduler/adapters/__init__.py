"""How the scheduler reaches its store and its neighbours."""
