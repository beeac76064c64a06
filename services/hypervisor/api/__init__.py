"""What may be asked: a method unpacks, calls once, packs."""
