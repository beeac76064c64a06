"""Leases: whoever makes a point says so, before anything is relied on."""

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    NotFound,
    PermissionDenied,
    XenkeepError,
)
from services.mover.repository.context import Context
from services.mover.repository.format.lease import Lease
from services.mover.repository.format.names import LEASES, lease_prefix, parse_numbered
from services.mover.repository.objects import put_same
from services.mover.repository.plans import Plans, listed_plan_ids, listed_plans
from services.mover.repository.points import require_new

TAKEN_OVER: Final = "TRANSFER_TAKEN_OVER"
_DIGITS: Final = 8
_WRITER_BYTES: Final = 8


class WriterLease:
    """The lease of one writer. Safe from any thread."""

    def __init__(self, context: Context, lease: Lease, number: int, older: Collection[str]) -> None:
        """``older`` are the names of leases on the same point that were there before."""
        self._context = context
        self._lease = lease
        self._number = number
        self._older = older
        self._next_is_doubtful = self._told = self._retired = False
        self._lock = threading.Lock()
        self.plans = Plans()
        """What must not be relied on."""

    @property
    def point_id(self) -> str:
        return self._lease.point_id

    def beat(self) -> None:
        """Show that the writer lives. Raises as ``require``, and Aborted when it was replaced.

        A beat whose answer is lost may be repeated: the lease of this very writer is no other's.
        """
        with self._lock:
            if self._retired:
                return
            self._next_is_doubtful = True
            try:
                put_same(self._context.store, self._name(self._number + 1), [self._lease.encode()])
            except AlreadyExists:
                self._next_is_doubtful = False
                raise Aborted(
                    f"Another mover makes point {self._lease.point_id} now.",
                    reason=TAKEN_OVER,
                    hint="Nothing to do: the other mover goes on from the last checkpoint.",
                ) from None
            self._number += 1
            self._next_is_doubtful = False
            try:
                self._context.store.delete(self._name(self._number - 1))
            except NotFound:
                self._fail()
            except PermissionDenied as error:
                self._tell_kept(error)

    def require(self) -> None:
        """Raises Aborted when the lease was taken away, AlreadyExists when somebody else made the point."""
        with self._lock:
            try:
                self._context.store.size(self._name(self._number))
            except NotFound:
                self._fail()

    def retire(self) -> None:
        """The point is made now, or it will not be: no beat from now on, nor one under way."""
        with self._lock:
            self._retired = True

    def release(self, *, older: bool = False) -> None:
        """Nothing will be made with it any more; with ``older`` nor with those that were there before.

        What cannot be removed is told: a prune removes it later.
        """
        with self._lock:
            for name in self._older if older else ():
                remove_lease(self._context, name)
            remove_lease(self._context, self._name(self._number))
            if self._next_is_doubtful and self._is_ours(self._name(self._number + 1)):
                remove_lease(self._context, self._name(self._number + 1))

    def _tell_kept(self, error: PermissionDenied) -> None:
        """Once: whoever may only add leaves a lease a minute."""
        if not self._told:
            self._context.on_notice("LEASE_KEPT", f"{error.message} A prune removes it later.")
        self._told = True

    def _is_ours(self, name: str) -> bool:
        try:
            return self._context.store.get(name) == self._lease.encode()
        except NotFound:
            return False
        except XenkeepError as error:
            self._context.on_notice("LEASE_KEPT", f"{error.message} A prune removes it later.")
            return False

    def _fail(self) -> NoReturn:
        require_new(self._context, self._lease.point_id)
        raise lease_lost(self._lease.point_id)

    def _name(self, number: int) -> str:
        return f"{lease_prefix(self._lease.point_id)}{number:0{_DIGITS}d}"


def take_lease(context: Context, point_id: str) -> WriterLease:
    """Announce that ``point_id`` is being made. Call before anything is relied on."""
    return take_leases(context, [point_id], 1)[point_id]


def take_leases(context: Context, point_ids: Collection[str], at_once: int) -> dict[str, WriterLease]:
    """The same for several points, ``at_once`` of them at a time; none is held when it raises."""
    placed: list[WriterLease] = []
    try:
        with ThreadPoolExecutor(at_once, thread_name_prefix="lease") as pool:
            asked = pool.submit(listed_plan_ids, context)
            listed = pool.submit(_listed, context, point_ids)
            known, older = frozenset(asked.result()), listed.result()
            for placing in [
                pool.submit(_place, context, each, known, older[each], placed) for each in point_ids
            ]:
                placing.result()
        plans = listed_plans(context)
    except BaseException:
        for lease in placed:
            lease.release()
        raise
    for lease in placed:
        lease.plans = plans
    return {lease.point_id: lease for lease in placed}


def _listed(context: Context, point_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Names and numbers of the leases of each point."""
    found: dict[str, dict[str, int]] = {each: {} for each in point_ids}
    for point_id, number, name in lease_numbers(context, LEASES if len(found) > 1 else lease_prefix(*found)):
        if point_id in found:
            found[point_id][name] = number
    return found


def _place(
    context: Context, point_id: str, plans: frozenset[str], older: dict[str, int], placed: list[WriterLease]
) -> None:
    """Put a lease above all ``older`` ones, and note it in ``placed``."""
    lease = Lease(point_id, plans, context.now(), context.entropy(_WRITER_BYTES).hex())
    number = max([0, *older.values()])
    while True:
        number += 1
        try:
            put_same(context.store, f"{lease_prefix(point_id)}{number:0{_DIGITS}d}", [lease.encode()])
        except AlreadyExists:
            continue
        placed.append(WriterLease(context, lease, number, older))
        return


def lease_lost(point_id: str) -> Aborted:
    return Aborted(
        f"The right to make point {point_id} was taken away: its writer did not show itself for too long"
        " while the repository was pruned.",
        reason="LEASE_LOST",
        hint="Start the backup again. What it had stored is found again, or removed by a prune.",
        metadata={"point": point_id},
    )


def lease_numbers(context: Context, prefix: str) -> Iterator[tuple[str, int, str]]:
    """Point, number and name of each lease whose name begins so."""
    for stored in context.store.list(prefix):
        parsed = parse_numbered(stored.name, LEASES, _DIGITS)
        if parsed is not None:
            yield (*parsed, stored.name)


def remove_lease(context: Context, name: str) -> None:
    """What cannot be removed is told: a prune removes it later."""
    try:
        context.store.delete(name)
    except NotFound:
        return
    except XenkeepError as error:
        context.on_notice("LEASE_KEPT", f"{error.message} A prune removes it later.")
