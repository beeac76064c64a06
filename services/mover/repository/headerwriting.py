"""A lost or damaged header written again, so that whoever is killed meanwhile leaves a repository."""

from contextlib import suppress
from typing import Any

from services.chassis.errors import AlreadyExists, NotFound
from services.mover.repository.format import canonical
from services.mover.repository.format.names import HEADER, UNFINISHED
from services.mover.repository.reserve import put_ballast
from services.mover.repository.store import Store


def write_header_again(store: Store, repository_id: bytes, header: dict[str, Any], *, damaged: bool) -> bool:
    """Put the header as it was at creation, in place of a ``damaged`` one; False when somebody else did.

    A store replaces nothing, so a damaged one goes first. Between the two, any key slot has the header; but
    a repository that was never used would look like what a creation that died leaves, and be cleared away by
    the next one: so something else is there before.
    """
    if damaged:
        if all(stored.name.startswith((HEADER, *UNFINISHED)) for stored in store.list("")):
            put_ballast(store, repository_id)
        with suppress(NotFound):  # somebody else does the same
            store.delete(HEADER)
    try:
        store.put(HEADER, [canonical.encode(header)])
    except AlreadyExists:  # somebody else was as quick, or it came out of hiding
        return False
    return True
