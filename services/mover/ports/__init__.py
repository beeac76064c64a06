"""What the mover needs from the world outside its repositories."""

from services.mover.ports.blocks import BlockSource, BlockTarget, Data

__all__ = ["BlockSource", "BlockTarget", "Data"]
