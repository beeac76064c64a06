"""Sealed objects in a store, by kind: writing and reading them with the repository's keys."""

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

from services.chassis.errors import AlreadyExists, NotFound
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.envelope import Envelope, parse_envelope, seal_object
from services.mover.repository.format.names import segment_name
from services.mover.repository.keys import GENERATION, KeyRing
from services.mover.repository.store import Store
from services.mover.repository.types import Bytes, Entropy

_INDEX_BINDING = "index"


def put_same(store: Store, name: str, parts: Sequence[Bytes]) -> None:
    """A put that may be repeated: an existing object with these very bytes is success, and durable.

    Raises AlreadyExists when the existing object differs. A first try that worked although its answer was
    lost, and the retry that finds the name taken, look like this; so does the work of somebody who died
    before it was durable.
    """
    try:
        store.put(name, parts)
    except AlreadyExists:
        with contextlib.suppress(NotFound):  # gone since: it was somebody else's
            if store.get(name) == b"".join(parts):
                store.settle(name)
                return
        raise


class SealedObjects:
    """Seals and opens points, index segments, checkpoints and plans of one repository."""

    def __init__(self, store: Store, keys: KeyRing, entropy: Entropy) -> None:
        self._store = store
        self._keys = keys
        self._entropy = entropy

    def put(self, kind: str, name: str, public: dict[str, Any], body: bytes) -> None:
        put_same(self._store, name, [self._seal(kind, name, public, body)])

    def put_segment(self, body: bytes) -> bytes:
        """The SHA-256 that names the stored segment."""
        data = self._seal("index", _INDEX_BINDING, {}, body)
        digest = hashlib.sha256(data).digest()
        put_same(self._store, segment_name(digest), [data])
        return digest

    def get(self, kind: str, name: str, sealed_as: str = "") -> tuple[dict[str, Any], bytes]:
        """Public part and body; raises NotFound, or DataLoss when it is not as sealed.

        ``sealed_as`` is the name it was sealed under, if that is not its own.
        """
        envelope = self._parse(kind, name, self._store.get(name))
        return envelope.public, envelope.open(self._keys.root, sealed_as or name, name)

    def get_segment(self, sha256: bytes) -> bytes:
        name = segment_name(sha256)
        data = self._store.get(name)
        if hashlib.sha256(data).digest() != sha256:
            raise damaged(name, "its content is not what its name says")
        return self._parse("index", name, data).open(self._keys.root, _INDEX_BINDING, name)

    def _seal(self, kind: str, name: str, public: dict[str, Any], body: bytes) -> bytes:
        return seal_object(
            kind=kind,
            name=name,
            root=self._keys.root,
            generation=GENERATION,
            repository_id=self._keys.repository_id,
            salt=self._entropy(32),
            public=public,
            body=body,
        )

    def _parse(self, kind: str, name: str, data: bytes) -> Envelope:
        envelope = parse_envelope(data, kind, name)
        if envelope.repository_id != self._keys.repository_id or envelope.generation != GENERATION:
            raise damaged(name, "it belongs to another repository or root key")
        return envelope
