"""Making and opening repositories."""

import hashlib
from datetime import UTC
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.errors import FailedPrecondition, Unavailable
from services.mover.repository.context import Context, Listener
from services.mover.repository.creation import write_new_repository
from services.mover.repository.entropy import fresh
from services.mover.repository.epochs import learn_epochs
from services.mover.repository.format.header import DEFAULT_CHUNK_BYTES, DEFAULT_PACK_BYTES
from services.mover.repository.format.slot import Argon2Cost, Slot
from services.mover.repository.index import Index
from services.mover.repository.indexdoubt import IndexDoubt
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexing import sync_index
from services.mover.repository.keys import KeyRing
from services.mover.repository.keyslots import read_slots, unlock
from services.mover.repository.objects import SealedObjects
from services.mover.repository.opening import opened_header
from services.mover.repository.ports import Time
from services.mover.repository.reader import BlobReader
from services.mover.repository.repository import Repository
from services.mover.repository.store import Store
from services.mover.repository.types import Entropy


def create_repository(
    store: Store,
    passphrase: str,
    cache_dir: Path,
    *,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    pack_bytes: int = DEFAULT_PACK_BYTES,
    cost: Argon2Cost | None = None,
    time: Time | None = None,
    entropy: Entropy = fresh,
    on_notice: Listener | None = None,
) -> tuple[Repository, str]:
    """A new repository in an empty store, opened, and its printable recovery key, which is kept nowhere.

    Raises InvalidInput for impossible parameters, AlreadyExists or FailedPrecondition when the store is not
    empty.
    """
    created = (time or SystemClock()).now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    recovery_key = write_new_repository(
        store,
        passphrase,
        chunk_bytes=chunk_bytes,
        pack_bytes=pack_bytes,
        created_time=created,
        cost=cost or Argon2Cost(),
        entropy=entropy,
    )
    opened = open_repository(store, passphrase, cache_dir, time=time, entropy=entropy, on_notice=on_notice)
    return opened, recovery_key


def open_repository(
    store: Store,
    secret: str,
    cache_dir: Path,
    *,
    time: Time | None = None,
    entropy: Entropy = fresh,
    on_notice: Listener | None = None,
    known_id: str = "",
) -> Repository:
    """An existing repository, by passphrase or recovery key. Writes nothing to the store.

    ``cache_dir`` keeps the disposable index cache. Raises NotFound when there is no repository,
    FailedPrecondition when it needs a newer release, Unauthenticated for a wrong secret, DataLoss when the
    header is damaged. Whoever had the repository open before gives its id as ``known_id``, and does without
    its header.
    """
    notices: list[tuple[str, str]] = []

    def note(code: str, message: str) -> None:
        notices.append((code, message))
        if on_notice is not None:
            on_notice(code, message)

    def unlocked() -> tuple[bytes, Slot]:
        slots = read_slots(store, note)
        if not slots:
            raise FailedPrecondition(
                f"The repository at {store.location} has no key slot that can be read.",
                reason="REPOSITORY_KEYS_MISSING",
                hint="Bring one of keys/ back, from a copy, or where the bucket keeps versions by removing"
                " delete markers; or let `xenkeep repo verify` do so at a mover that still has the repository"
                " open.",
            )
        return unlock(slots, secret, store.location, note)

    root, header = opened_header(store, unlocked, known_id, note)
    keys = KeyRing(root, header.repository_id)
    place = hashlib.sha256(header.repository_id + store.location.encode()).hexdigest()[:32]
    index = Index(cache_dir / f"index-{place}.sqlite")
    context = Context(
        store=store,
        keys=keys,
        header=header,
        index=index,
        objects=SealedObjects(store, keys, entropy),
        reader=BlobReader(store, keys, index),
        entropy=entropy,
        time=time or SystemClock(),
        on_notice=note,
    )
    context.reader.when_gone(lambda: sync_index(context))
    context.reader.when_damaged(IndexDoubt(context).look)
    try:
        learn_epochs(context)
        try:
            sync_index(context)
        except Unavailable as error:
            if error.reason != CACHE_REMADE:
                raise
            note(error.reason, error.message)
            sync_index(context)
    except BaseException:
        index.close()
        raise
    return Repository(context, notices)
