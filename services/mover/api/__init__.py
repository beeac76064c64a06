"""What may be asked of a mover."""
