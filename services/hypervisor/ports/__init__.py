"""What the use cases need from the world. The docstrings are the law an adapter is held to."""
