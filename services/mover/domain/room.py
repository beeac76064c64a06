"""How many transfers a mover works on at once."""

from dataclasses import dataclass
from typing import Final

_MIB: Final = 1 << 20
OWN_BYTES: Final = 512 * _MIB
"""What a mover has beside its transfers: the program (100 MiB), a repository that is being opened (256 MiB
for Argon2id), the live set of a prune (128 MiB at most), and a little more."""


@dataclass(frozen=True, slots=True)
class Room:
    """As many as are ``configured``, or as memory is enough for, but always one.

    ``transfer_bytes`` is what a transfer may take, ``memory_bytes`` what the mover can have; None where
    nobody tells.
    """

    configured: int
    transfer_bytes: int
    memory_bytes: int | None

    @property
    def transfers(self) -> int:
        if self.memory_bytes is None:
            return self.configured
        return max(1, min(self.configured, (self.memory_bytes - OWN_BYTES) // self.transfer_bytes))

    def told(self) -> str:
        """What a transfer waits for, for a person."""
        waits = f"Waits for a mover with room; this one works on {self.transfers} at once"
        if self.memory_bytes is None or self.transfers == self.configured:
            return waits
        return (
            f"{waits}, not {self.configured}: it has {self.memory_bytes // _MIB} MiB of memory, and needs "
            f"{self.transfer_bytes // _MIB} MiB for each beside {OWN_BYTES // _MIB} MiB of its own"
        )
