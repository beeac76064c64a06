"""The mover's nouns: blocks of disks, transfers, repositories."""

from services.mover.domain.blocks import BlockRead, Extent, Notice

__all__ = ["BlockRead", "Extent", "Notice"]
