"""What was done to a VM for its snapshot, and what of it has still to be undone.

Stored before it is done, and kept until the source is closed: whoever comes after a crash puts right what is
owed, and what was told of is told again.
"""

from dataclasses import dataclass

from services.hypervisor.domain.capture import Hook
from services.hypervisor.domain.notice import Notice


@dataclass(frozen=True)
class Intervention:
    """``start_owed``: the VM ran on ``host_id`` before it was shut down. ``hooks_owed``: to be called
    after the snapshot. ``thaw_owed``: the guest may be frozen by its agent; ``frozen``: it was, for the
    snapshot.
    """

    source_id: str
    pool_id: str
    vm_id: str
    start_owed: bool = False
    host_id: str = ""
    thaw_owed: bool = False
    frozen: bool = False
    hooks_owed: tuple[Hook, ...] = ()
    notices: tuple[Notice, ...] = ()

    def told(self, notice: Notice) -> tuple[Notice, ...]:
        """The notices with one more, nothing twice."""
        return (*self.notices, notice) if notice not in self.notices else self.notices
