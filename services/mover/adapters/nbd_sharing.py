"""What the disks of one source have in common: the connections they may have open at each host."""

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class NbdSharing:
    """Of disks that are read at the same time. ``changed`` guards it, and is told when room comes about."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    open: Counter[str] = field(default_factory=Counter)
    """Connections by host, of all the disks."""
    readers: set[object] = field(default_factory=set)
    """Disks that are being read."""

    def part(self, share: int) -> int:
        """Of ``share`` connections what one disk may have, so that each has as many: at least one."""
        return max(1, share // max(1, len(self.readers)))
