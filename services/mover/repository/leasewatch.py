"""Writers as whoever prunes sees them, by their leases: waited for, or their right is taken away."""

import contextlib
from typing import Final

from services.chassis.errors import AlreadyExists, DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format.lease import decode_lease, encode_revocation
from services.mover.repository.format.names import LEASES, lease_prefix, point_name
from services.mover.repository.leases import lease_numbers, remove_lease
from services.mover.repository.parallel import for_each
from services.mover.repository.points import exists, is_revoked

_LOOKS: Final = 8
_LOOKED_AT_ONCE: Final = 8


def highest_numbers(context: Context) -> dict[str, int]:
    """The highest lease number of each point that somebody says to make."""
    highest: dict[str, int] = {}
    for point_id, number, _ in lease_numbers(context, LEASES):
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
    for _, _, name in list(lease_numbers(context, lease_prefix(point_id))):
        remove_lease(context, name)


def remove_moot_leases(context: Context) -> None:
    """Leases whose point is there, or revoked."""

    def look(point_id: str) -> None:
        if exists(context, point_name(point_id)):
            remove_leases(context, point_id)

    for_each(highest_numbers(context), look, _LOOKED_AT_ONCE)


def _knows(context: Context, point_id: str, plan_id: str) -> bool:
    """Whether every writer of the point knows the plan. A lease that cannot be read may be anybody's."""
    for _ in range(_LOOKS):
        names = [name for _, _, name in lease_numbers(context, lease_prefix(point_id))]
        try:
            return all(plan_id in decode_lease(context.store.get(name), name).plans for name in names)
        except NotFound:
            continue  # its writer showed itself just now: the next number is there
        except DataLoss:
            return False
    return False
