"""How the catalog reaches its store and its neighbours."""
