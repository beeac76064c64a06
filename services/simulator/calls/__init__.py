"""The calls with a meaning of their own, one file per class."""
