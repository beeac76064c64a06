"""Pruning: what no point needs goes, while others write (docs/repository-format.md, section 16)."""
