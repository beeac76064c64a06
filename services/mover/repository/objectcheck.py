"""Stored objects against their names and checksums, and with the keys packs against their directories."""

import hashlib
from collections.abc import Iterator
from typing import Final

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context, info_of
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.envelope import parse_envelope
from services.mover.repository.format.lease import looks_like_revocation
from services.mover.repository.format.names import CHECKPOINTS, INDEX, PACKS, PLANS, POINTS, TRASH
from services.mover.repository.packreader import check_hash, damaged_blobs
from services.mover.repository.store import Store, StoredObject, borrowed
from services.mover.repository.verification import Finding

_KINDS: Final = {POINTS: "point", TRASH: "point", CHECKPOINTS: "checkpoint", PLANS: "plan"}
EVERYWHERE: Final = (PACKS, INDEX, *_KINDS)
"""Prefixes of all that can be looked at, packs first."""


def scrub(store: Store) -> Iterator[Finding]:
    """Every stored object against its name or checksum; needs no key."""
    for prefix in EVERYWHERE:
        for stored in store.list(prefix):
            try:
                _check_without_key(prefix, stored.name, store.get(stored.name))
            except (DataLoss, NotFound) as error:
                yield Finding(stored.name, error.message)


def check_object(
    context: Context, prefix: str, stored: StoredObject, *, full: bool
) -> tuple[str | None, set[tuple[bytes, bytes]]]:
    """What is wrong with it, None when nothing is, and (pack, blob) of the copies that do not decode.

    Blobs are looked at when ``full``.
    """
    try:
        pack = info_of(stored.name)
        if pack is None:
            _check_without_key(prefix, stored.name, context.store.get(stored.name))
            return None, set()
        with borrowed(context.store, stored) as data:
            check_hash(stored.name, data)
            bad = list(damaged_blobs(context.keys, stored.name, data)) if full else []
        return bad[0][1] if bad else None, {(pack.sha256, id_) for id_, _ in bad}
    except (DataLoss, NotFound) as error:
        return error.message, set()


def _check_without_key(prefix: str, name: str, data: bytes) -> None:
    if prefix == PACKS:
        check_hash(name, data)
    elif prefix == INDEX:
        if hashlib.sha256(data).hexdigest() != name.removeprefix(INDEX):
            raise damaged(name, "its content is not what its name says")
    elif not (prefix == POINTS and looks_like_revocation(data)):
        parse_envelope(data, _KINDS[prefix], name)
