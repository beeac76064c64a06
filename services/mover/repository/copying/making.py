"""Making copied points at the target, under leases as any writer."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from services.chassis.errors import Aborted, AlreadyExists, NotFound, PermissionDenied
from services.mover.repository.context import Context
from services.mover.repository.flow import Flow
from services.mover.repository.format.names import point_name
from services.mover.repository.format.point import RestorePoint
from services.mover.repository.leasekeeper import BEAT_SECONDS, LeaseKeeper
from services.mover.repository.leases import TAKEN_OVER, WriterLease, take_leases
from services.mover.repository.locks import hold_again
from services.mover.repository.objects import put_same
from services.mover.repository.parallel import for_each
from services.mover.repository.plans import Plans
from services.mover.repository.points import is_revoked


class Writers:
    """Leases on the points that are being copied, beaten until all are done."""

    def __init__(self, target: Context, at_once: int) -> None:
        self._target, self._at_once = target, at_once
        self._leases: dict[str, WriterLease] = {}
        self._lock = threading.Lock()

    def take(self, point_ids: Collection[str]) -> None:
        """Announce that these points are being made, before anything is relied on."""
        taken = take_leases(self._target, point_ids, self._at_once)
        with self._lock:
            self._leases = taken

    def clear(self, point_id: str) -> str:
        """Make room for a point that a prune of the copy revoked. The reason if that cannot be.

        A copy that was killed may have been revoked by a prune since. Its point has no other name to be made
        under, so the revocation goes, now that a lease is there for whoever prunes next.
        """
        name = point_name(point_id)
        if is_revoked(self._target, name):
            try:
                self._target.store.delete(name)
            except PermissionDenied as error:
                self._give_up(point_id)
                return f"A prune of the copy revoked it after an earlier copy had died. {error.message}"
        return ""

    @property
    def plans(self) -> Plans:
        """What none of them may rely on."""
        with self._lock:
            each = [lease.plans for lease in self._leases.values()]
        return Plans(
            tuple(plan for plans in each for plan in plans.readable),
            tuple(id_ for plans in each for id_ in plans.unreadable),
            frozenset().union(*(plans.hidden for plans in each)),
        )

    def beat(self) -> None:
        """Show that the writers live; raises Aborted when one was replaced or revoked."""
        with self._lock:
            held = list(self._leases.values())
        for lease in held:
            self._still_wanted(lease, lease.beat)

    def make(self, source: Context, point: RestorePoint) -> str:
        """Create the point at the target, locked there with all it needs if the target locks.

        The reason when it cannot be any more, or "".

        Raises Aborted when it was replaced or revoked.
        """
        point_id, name = point.point_id, point_name(point.point_id)
        hold_again(self._target, point)
        try:
            data = source.store.get(name)
        except NotFound:
            return "It was deleted while it was copied."
        with self._lock:
            lease = self._leases.get(point_id)
        if lease is None:
            return ""
        lease.retire()
        if not self._still_wanted(lease, lease.require):
            return ""
        try:
            put_same(self._target.store, name, [data])
        except AlreadyExists:
            if is_revoked(self._target, name):
                raise self._lost(point_id) from None
        self._give_up(point_id, older=True)
        return ""

    def _still_wanted(self, lease: WriterLease, prove: Callable[[], None]) -> bool:
        """False when another copy made the point; raises Aborted when ours must not."""
        try:
            prove()
        except AlreadyExists:
            self._give_up(lease.point_id, older=True)
            return False
        except Aborted as error:
            if error.reason == TAKEN_OVER:
                raise
            raise self._lost(lease.point_id) from error
        return True

    def _give_up(self, point_id: str, *, older: bool = False) -> None:
        with self._lock:
            lease = self._leases.pop(point_id, None)
        if lease is not None:
            lease.retire()
            lease.release(older=older)

    def _lost(self, point_id: str) -> Aborted:
        return Aborted(
            f"A prune of {self._target.store.location} took the right to make point {point_id} away: the copy"
            " did not show itself for too long.",
            reason="COPY_LEASE_LOST",
            hint="Start the copy again: what is still there is not sent again.",
            metadata={"point": point_id},
        )

    def release(self) -> None:
        """Give up what was not made."""
        with self._lock:
            held = list(self._leases)
        for_each(held, self._give_up, self._at_once)


@contextmanager
def writers(target: Context, flow: Flow, at_once: int) -> Iterator[Writers]:
    """Whose leases are beaten inside, and released in the end, however it ends; so many at once."""
    made = Writers(target, at_once)
    keeper = LeaseKeeper(flow, made, target.on_notice, BEAT_SECONDS)
    try:
        keeper.start()
        yield made
    finally:
        keeper.end()
        flow.join()
        made.release()
