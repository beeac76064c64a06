"""Ballast: room to prune on a full disk (docs/repository-format.md, section 17)."""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Final, TypeVar

from services.chassis.errors import AlreadyExists, NotFound, ResourceExhausted, XenkeepError
from services.mover.repository.context import Context
from services.mover.repository.format.names import BALLAST
from services.mover.repository.store import Store

T = TypeVar("T")

_BYTES: Final = 1 << 20


def load_ballast(context: Context) -> None:
    """Put the ballast where it is missing; only in stores that can be full. Failing that is told."""
    store = context.store
    try:
        if store.free_bytes() is None:
            return
        with contextlib.suppress(NotFound):
            store.size(BALLAST)
            return
        put_ballast(store, context.keys.repository_id)
    except XenkeepError as error:
        context.on_notice("NO_BALLAST", f"{error.message} A prune may not find room on a full disk.")


def put_ballast(store: Store, repository_id: bytes) -> None:
    """Whether or not it is there."""
    with contextlib.suppress(AlreadyExists):
        store.put(BALLAST, [hashlib.shake_256(repository_id).digest(_BYTES)])


def with_ballast(context: Context, write: Callable[[], T]) -> T:
    """What ``write`` returns; when there is no room, once more without the ballast."""
    try:
        return write()
    except ResourceExhausted as error:
        try:
            context.store.delete(BALLAST)
        except NotFound:
            raise error from None
        context.on_notice("BALLAST_DROPPED", f"{error.message} The reserve was used.")
        return write()
