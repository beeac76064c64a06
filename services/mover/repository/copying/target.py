"""The place copies go to: an empty one, or a copy of the same repository."""

import contextlib
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.chassis.errors import FailedPrecondition, InvalidInput, NotFound, Unavailable
from services.mover.repository.context import Context, Listener
from services.mover.repository.features import require_writable
from services.mover.repository.format import canonical
from services.mover.repository.format.names import (
    DAMAGE,
    EPOCHS,
    FEATURES,
    HEADER,
    INDEX,
    KEYS,
    LEASES,
    POINTS,
    TRASH,
)
from services.mover.repository.index import Index
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexing import sync_index
from services.mover.repository.objects import SealedObjects, put_same
from services.mover.repository.opening import read_header
from services.mover.repository.parallel import for_each
from services.mover.repository.reader import BlobReader
from services.mover.repository.store import Store
from services.mover.repository.stores.asked_ahead import AskedAhead

_BEGINNING: Final = (FEATURES, KEYS, EPOCHS)
"""What has to be there before the header is: until then there is no repository, whatever of it is there."""
_AT_ONCE: Final = 4


def ask_ahead(source: Context, target: AskedAhead) -> None:
    """All that ``open_target`` and the choice of points ask of a copy, at once."""
    keys = [stored.name for stored in source.store.list(KEYS)]
    target.ask((*_BEGINNING, INDEX, DAMAGE, POINTS, TRASH, LEASES), (HEADER, *keys))


def open_target(source: Context, store: Store, cache_dir: Path, on_notice: Listener) -> Context:
    """The target as the holder of ``source``'s keys sees it; an empty one is begun.

    Close its index. Raises InvalidInput when it is the source, FailedPrecondition when it holds something
    else, and what the store raises. Killed anywhere, the next copy goes on.
    """
    if store.location == source.store.location:
        raise InvalidInput(
            f"{store.location} is the repository itself.",
            reason="COPY_TO_ITSELF",
            hint="Choose another place.",
        )
    begun = _is_begun(source, store)
    for place in (source.store, store):
        require_writable(place, source.header)
    _bring_beginning(source, store, on_notice)
    if not begun:
        put_same(store, HEADER, [canonical.encode(source.header.to_json(source.keys.root))])
    return _opened(source, store, cache_dir, on_notice)


def open_copy(source: Context, store: Store, cache_dir: Path, on_notice: Listener) -> Context:
    """A copy of the repository, to be read; close its index.

    Raises NotFound when there is none, FailedPrecondition when it is another repository.
    """
    if not _is_begun(source, store):
        raise NotFound(
            f"There is no copy of the repository at {store.location}.",
            reason="COPY_MISSING",
            hint="Name the place that xenkeep repo copy sent it to.",
        )
    return _opened(source, store, cache_dir, on_notice)


def _opened(source: Context, store: Store, cache_dir: Path, on_notice: Listener) -> Context:
    place = hashlib.sha256(source.header.repository_id + store.location.encode()).hexdigest()[:32]
    index = Index(cache_dir / f"copy-{place}.sqlite")
    target = replace(
        source,
        store=store,
        index=index,
        objects=SealedObjects(store, source.keys, source.entropy),
        reader=BlobReader(store, source.keys, index),
        on_notice=on_notice,
    )
    try:
        try:
            sync_index(target)
        except Unavailable as error:
            if error.reason != CACHE_REMADE:
                raise
            on_notice(error.reason, error.message)
            sync_index(target)
    except BaseException:
        index.close()
        raise
    return target


def _is_begun(source: Context, store: Store) -> bool:
    """Whether a header of the source's is there; raises FailedPrecondition when anything else is."""
    try:
        unproven = read_header(store)
    except NotFound:
        _require_beginning(source, store)
        return False
    except FailedPrecondition as error:
        if error.reason != "REPOSITORY_HEADER_MISSING":
            raise
        _require_beginning(source, store)
        return False
    if unproven.header.repository_id != source.header.repository_id:
        raise FailedPrecondition(
            f"At {store.location} is another repository, {unproven.header.repository_id.hex()}.",
            reason="COPY_TARGET_TAKEN",
            hint="Choose an empty place: a copy has the id and the keys of its original.",
        )
    unproven.proven(source.keys.root)
    return True


def _require_beginning(source: Context, store: Store) -> None:
    """Without a header only the beginning of an earlier copy may be there."""
    for stored in store.list(""):
        if stored.name.startswith(_BEGINNING) and _same(source.store, store, stored.name):
            continue
        raise FailedPrecondition(
            f"{store.location} holds something else, {stored.name} for example.",
            reason="STORE_NOT_EMPTY",
            hint="Choose an empty or new place.",
        )


def _bring_beginning(source: Context, store: Store, on_notice: Listener) -> None:
    """Features, keys and epochs that are not there yet. What was removed here stays there, and is told."""
    there = {stored.name for prefix in _BEGINNING for stored in store.list(prefix)}
    here = {stored.name for prefix in _BEGINNING for stored in source.store.list(prefix)}

    def bring(name: str) -> None:
        with contextlib.suppress(NotFound):  # removed just now
            put_same(store, name, [source.store.get(name)])

    for_each(sorted(here - there), bring, _AT_ONCE)
    for folder in _BEGINNING if there else ():
        store.settle(folder)  # with the header; whoever brought them may have died before they were durable
    _tell_of_keys(source, store, _keys(here), _keys(there), on_notice)


def _keys(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(KEYS)}


def _tell_of_keys(
    source: Context, store: Store, here: set[str], there: set[str], on_notice: Listener
) -> None:
    old = sorted(there - here) + sorted(name for name in there & here if not _same(source.store, store, name))
    for name in old:
        on_notice(
            "COPY_HAS_OLD_KEY",
            f"{store.location} has the key {name.removeprefix(KEYS)}, which is not, or not so, in the"
            " original: it still opens the copy. Remove the key there if it must not.",
        )


def _same(one: Store, other: Store, name: str) -> bool:
    try:
        return one.get(name) == other.get(name)
    except NotFound:
        return False
