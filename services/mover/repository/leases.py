"""Leases: whoever makes a point says so, and whoever prunes waits for it or takes its right away."""

import contextlib
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NoReturn, Protocol

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    DataLoss,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.repository.context import Context, Listener
from services.mover.repository.flow import Flow
from services.mover.repository.format.lease import Lease, decode_lease, encode_revocation
from services.mover.repository.format.names import LEASES, lease_prefix, parse_numbered, point_name
from services.mover.repository.objects import put_same
from services.mover.repository.parallel import for_each
from services.mover.repository.plans import Plans, listed_plan_ids, listed_plans
from services.mover.repository.points import exists, is_revoked, require_new

BEAT_SECONDS: Final = 60.0
TAKEN_OVER: Final = "TRANSFER_TAKEN_OVER"
_DIGITS: Final = 8
_WRITER_BYTES: Final = 8
_LOOKS: Final = 8
_LOOKED_AT_ONCE: Final = 8
_PASSING: Final = (Unavailable, ResourceExhausted)


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
                _remove(self._context, name)
            _remove(self._context, self._name(self._number))
            if self._next_is_doubtful and self._is_ours(self._name(self._number + 1)):
                _remove(self._context, self._name(self._number + 1))

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


class Beating(Protocol):
    """Has to show that it lives."""

    def beat(self) -> None: ...


class LeaseKeeper:
    """Beats as long as the session lasts, in a thread of the session's flow."""

    def __init__(self, flow: Flow, lease: Beating, on_notice: Listener, seconds: float) -> None:
        self._flow = flow
        self._lease = lease
        self._notice = on_notice
        self._seconds = seconds
        self._wake = flow.condition()
        self._ended = self._told = False

    def start(self) -> None:
        self._flow.start("lease", self._run)

    def end(self) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify_all()

    def _run(self) -> None:
        while self._wait():
            try:
                self._lease.beat()
            except (*_PASSING, PermissionDenied) as error:
                if not self._told:
                    self._notice("LEASE_NOT_RENEWED", f"{error.message} It is tried again every minute.")
                self._told = True

    def _wait(self) -> bool:
        """True when it is time for a beat, False when the session has ended."""
        with self._wake:
            if not self._ended:
                self._wake.wait(self._seconds)
            self._flow.check()
            return not self._ended


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
    for point_id, number, name in _numbers(context, LEASES if len(found) > 1 else lease_prefix(*found)):
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


def highest_numbers(context: Context) -> dict[str, int]:
    """The highest lease number of each point that somebody says to make."""
    highest: dict[str, int] = {}
    for point_id, number, _ in _numbers(context, LEASES):
        highest[point_id] = max(number, highest.get(point_id, 0))
    return highest


def older_writers(context: Context, plan_id: str) -> set[str]:
    """Points that are being made by writers who may not know the plan."""
    return {
        point_id
        for point_id in highest_numbers(context)
        if not _knows(context, point_id, plan_id) and not exists(context, point_name(point_id))
    }


def revoke(context: Context, point_id: str) -> bool:
    """Take the right to make ``point_id`` away from whoever has it; False when the point is there already."""
    name = point_name(point_id)
    keys = context.keys
    revocation = encode_revocation(keys.revocation_key, keys.repository_id, name)
    with contextlib.suppress(AlreadyExists):
        context.store.put(name, [revocation])
    remove_leases(context, point_id)
    return is_revoked(context, name)


def remove_leases(context: Context, point_id: str) -> None:
    """All leases of a point that is there, or revoked."""
    for _, _, name in list(_numbers(context, lease_prefix(point_id))):
        _remove(context, name)


def remove_moot_leases(context: Context) -> None:
    """Leases whose point is there, or revoked."""

    def look(point_id: str) -> None:
        if exists(context, point_name(point_id)):
            remove_leases(context, point_id)

    for_each(highest_numbers(context), look, _LOOKED_AT_ONCE)


def lease_lost(point_id: str) -> Aborted:
    return Aborted(
        f"The right to make point {point_id} was taken away: its writer did not show itself for too long"
        " while the repository was pruned.",
        reason="LEASE_LOST",
        hint="Start the backup again. What it had stored is found again, or removed by a prune.",
        metadata={"point": point_id},
    )


def _knows(context: Context, point_id: str, plan_id: str) -> bool:
    """Whether every writer of the point knows the plan. A lease that cannot be read may be anybody's."""
    for _ in range(_LOOKS):
        names = [name for _, _, name in _numbers(context, lease_prefix(point_id))]
        try:
            return all(plan_id in decode_lease(context.store.get(name), name).plans for name in names)
        except NotFound:
            continue  # its writer showed itself just now: the next number is there
        except DataLoss:
            return False
    return False


def _numbers(context: Context, prefix: str) -> Iterator[tuple[str, int, str]]:
    for stored in context.store.list(prefix):
        parsed = parse_numbered(stored.name, LEASES, _DIGITS)
        if parsed is not None:
            yield (*parsed, stored.name)


def _remove(context: Context, name: str) -> None:
    try:
        context.store.delete(name)
    except NotFound:
        return
    except XenkeepError as error:
        context.on_notice("LEASE_KEPT", f"{error.message} A prune removes it later.")
