"""What was done to a VM for its snapshot, and what of it has still to be undone.

Stored before it is done, and kept until the source is closed: whoever comes after a crash puts right what is
owed, and what was told of is told again.
"""

from dataclasses import dataclass, replace

from services.hypervisor.domain.capture import Hook
from services.hypervisor.domain.notice import Notice


@dataclass(frozen=True)
class Intervention:
    """``start_owed``: the VM ran on ``host_id`` before it was shut down, ``resume_owed``: before a
    checkpoint that suspends it for a while. ``hooks_owed``: to be called after the snapshot. ``thaw_owed``:
    the guest may be frozen by its agent; ``frozen``: it was, for the snapshot, and with ``applications``
    not its file systems alone; ``freeze_broken``: it was, but not until the end.
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
    resume_owed: bool = False
    applications: bool = False
    freeze_broken: bool = False

    def with_notice(self, notice: Notice) -> "Intervention":
        """With one more, nothing twice."""
        if notice in self.notices:
            return self
        return replace(self, notices=(*self.notices, notice))
