"""Copying a repository's restore points to another place, sealed as they are (docs/copies.md)."""
