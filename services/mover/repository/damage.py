"""Damage records: packs known to be damaged (docs/repository-format.md, section 13)."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.chassis.errors import AlreadyExists
from services.mover.repository.format import canonical
from services.mover.repository.format.names import DAMAGE, FORMAT_VERSION, damage_name, pack_name
from services.mover.repository.store import Store

_FORMAT = "xenkeep-damage"


@dataclass(frozen=True, slots=True)
class DamagedPack:
    """A pack, what is wrong with it, and when that was found (RFC 3339)."""

    sha256: bytes
    kind: str
    problem: str
    found_time: str

    @property
    def name(self) -> str:
        return pack_name(self.kind, self.sha256)


def record_damage(store: Store, pack: DamagedPack) -> None:
    """Keep the finding in the repository; the first finding of a pack stays."""
    body = {
        "format": _FORMAT,
        "found_time": pack.found_time,
        "kind": pack.kind,
        "pack": pack.sha256.hex(),
        "problem": pack.problem,
        "version": FORMAT_VERSION,
    }
    try:
        store.put(damage_name(pack.sha256), [canonical.encode(body)])
    except AlreadyExists:
        store.settle(DAMAGE)  # whoever recorded it may have died before it was durable


def forget_damage(store: Store, pack_sha256: bytes) -> None:
    """The pack turned out to be whole, or was replaced by a whole one."""
    store.delete(damage_name(pack_sha256))


def recorded_damage(store: Store) -> Iterator[bytes]:
    """SHA-256 of every pack with a record. The name alone counts, so a damaged record still protects."""
    for stored in store.list(DAMAGE):
        tail = stored.name.removeprefix(DAMAGE)
        if len(tail) == 64 and set(tail) <= set("0123456789abcdef"):
            yield bytes.fromhex(tail)
