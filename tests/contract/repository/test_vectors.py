"""Derivations and encodings for fixed keys, salts and ids give the bytes written down in vectors.json.

``python -m tests.contract.repository.test_vectors`` prints what this release makes of them; vectors are
added, never changed.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import pytest

from services.mover.repository import MemoryStore, checkpoint
from services.mover.repository.checkpoint import Checkpoint, DiskCheckpoint
from services.mover.repository.cutting import Cutter
from services.mover.repository.damage import DamagedPack, record_damage
from services.mover.repository.format import canonical, zstd
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_aad, blob_id, blob_nonce
from services.mover.repository.format.crypto import seal
from services.mover.repository.format.envelope import parse_envelope, seal_object
from services.mover.repository.format.epoch import encode_epoch_object, wrap_data_key
from services.mover.repository.format.header import Header
from services.mover.repository.format.lease import Lease, encode_revocation
from services.mover.repository.format.names import damage_name, pack_name
from services.mover.repository.format.pack import PackHeader, pack_key, seal_end
from services.mover.repository.format.page import Entry, Page, Patch, encode_page
from services.mover.repository.format.plan import Plan
from services.mover.repository.format.point import Disk, Notice, RestorePoint, encode_body
from services.mover.repository.format.recovery_key import print_recovery_key
from services.mover.repository.format.segment import PackRecord, Segment, encode_segment
from services.mover.repository.format.slot import PASSPHRASE, RECOVERY, Argon2Cost, make_slot, parse_slot
from services.mover.repository.format.stream import ListItem, StreamRef, encode_list
from services.mover.repository.keys import KeyRing
from services.mover.repository.mapwriter import MapProgress

VECTORS = Path(__file__).with_name("vectors.json")

ROOT = bytes(range(32))
DATA_KEY = bytes(range(32, 64))
U = bytes(range(16))
SALT = bytes(range(64, 96))
NONCE = bytes(range(12))
ID_1, ID_2, ID_3 = (bytes([n]) * 32 for n in (0x11, 0x22, 0x33))
PLAIN = b"the quick brown fox jumps over the lazy dog"


@cache
def computed() -> dict[str, str]:
    """Every vector by name, hexadecimal (text where it is text)."""
    keys = KeyRing(ROOT, U)
    header = Header(U, 1 << 20, 32 << 20, "2026-01-01T00:00:00Z").to_json(ROOT)
    epoch = wrap_data_key(ROOT, U, 1, 1, DATA_KEY, NONCE)
    key, commitment = pack_key(DATA_KEY, SALT, "data", U)
    pack_header = PackHeader("data", U, SALT, epoch.encode(), commitment)
    entry = BlobEntry(
        blob_id(keys.id_keys[BlobType.CHUNK], PLAIN), BlobType.CHUNK, 0, len(PLAIN), len(PLAIN) + 16
    )
    sealed = seal(key, blob_nonce(0), PLAIN, blob_aad(U, SALT, 0, entry))
    pack = pack_header.encode() + sealed + seal_end(key, pack_header, [entry])
    record = PackRecord(hashlib.sha256(pack).digest(), len(pack), "data", 1, SALT, (entry,))
    cutter = Cutter(keys.cut_key)
    stream = hashlib.shake_256(b"stream").digest(12 << 20)
    leaf = {
        0: Entry(ID_1),
        2: Entry(ID_1, (Patch(0b1010, ID_2, 3), Patch(0b1))),
        5: Entry(None, (Patch(1 << 15, ID_3, 0),)),
    }
    point = seal_object(
        kind="point",
        name="points/p",
        root=ROOT,
        generation=1,
        repository_id=U,
        salt=SALT,
        public={"point": "p"},
        body=PLAIN,
    )
    slots = {
        kind: make_slot(
            slot_id=f"{kind}-1",
            kind=kind,
            label="Büro",
            created_time="2026-01-01T00:00:00Z",
            generation=1,
            root=ROOT,
            header_json=header,
            secret=secret,
            cost=Argon2Cost(time=2, memory_kib=256, lanes=2),
            salt=SALT[:16],
            nonce=NONCE,
        )
        for kind, secret in ((PASSPHRASE, "Passwort für Köln"), (RECOVERY, bytes(range(20))))
    }
    return {
        **{f"id of {t.name.lower()}": blob_id(keys.id_keys[t], PLAIN).hex() for t in BlobType},
        "header": canonical.encode(header).decode(),
        "epoch": encode_epoch_object(epoch).hex(),
        "pack": pack.hex(),
        "segment": encode_segment(Segment((record,), (ID_1,))).hex(),
        "leaf page": encode_page(Page(0, leaf)).hex(),
        "leaf delta": encode_page(Page(0, {1: None, 1023: Entry(ID_2)}, 2, ID_3)).hex(),
        "inner page": encode_page(Page(1, {0: ID_1, 3: ID_2})).hex(),
        "cut key": keys.cut_key.hex(),
        "lengths of pieces of 12 MiB of SHAKE-256 of 'stream'": " ".join(
            str(len(piece)) for piece in [*cutter.feed(stream), *cutter.rest()]
        ),
        "deeper list": encode_list(2, [ListItem(ID_3, 1 << 40)]).hex(),
        "compressed blob": bytes(zstd.compress(bytes(1000))[1]).hex(),
        **{f"sealed {kind}": data.hex() for kind, data in _sealed().items()},
        **_bodies(),
        "revocation": encode_revocation(keys.revocation_key, U, "points/p").hex(),
        "ballast, its SHA-256": hashlib.sha256(hashlib.shake_256(U).digest(1 << 20)).hexdigest(),
        "list": encode_list(0, [ListItem(ID_1, 1 << 20), ListItem(ID_2, 5)]).hex(),
        "point": point.hex(),
        "recovery key": print_recovery_key(bytes(range(20))),
        **{f"{kind} slot": slot.decode() for kind, slot in slots.items()},
    }


def _sealed() -> dict[str, bytes]:
    names = {"segment": "index", "checkpoint": "checkpoints/t/00000001", "plan": "prune/" + "ab" * 16}
    return {
        what: seal_object(
            kind="index" if what == "segment" else what,
            name=name,
            root=ROOT,
            generation=1,
            repository_id=U,
            salt=SALT,
            public={},
            body=PLAIN * 20,
        )
        for what, name in names.items()
    }


def _bodies() -> dict[str, str]:
    """What is inside the seals, and leases and damage records, which have none."""
    disk = Disk("sda", "Daten", 5 << 20, ID_1, "full", "NO_BASE", "cbt-1", {"read_bytes": 5})
    point = RestorePoint(
        point_id="p",
        base_point="o",
        asset={"id": "vm-1", "name": "Büro"},
        method="memory",
        consistency="memory",
        level="incremental",
        snapshot_time="2026-01-01T00:00:00Z",
        commit_time="2026-01-01T00:05:00Z",
        disks=(disk, Disk("sdb", "", 0, None, "full")),
        streams={
            "empty": StreamRef(0, None),
            "memory": StreamRef(1 << 40, ID_2, "memory"),
        },
        notices=(Notice("HEALING", "A chunk was read again."),),
        statistics={"stored_bytes": 7},
        document={"any": [1, None, 2.5, "ü"]},
        locked_until="2026-02-01T00:00:00Z",
        locked_place="s3://bucket/prefix",
    )
    progress = MapProgress({0: ID_1, 7: None}, {1025: Entry(ID_2, (Patch(1),)), 1026: None})
    sealed = Checkpoint(
        "t",
        "p",
        None,
        (pack_name("data", ID_1),),
        (ID_2.hex(),),
        {"sda": DiskCheckpoint("sda", ID_3.hex(), progress, 9)},
        11,
        "2026-01-01T00:00:00Z",
    )
    plan = Plan("ab" * 16, "2026-01-01T00:00:00Z", {ID_1: "data", ID_2: "meta"})
    store = MemoryStore()
    record_damage(store, DamagedPack(ID_1, "data", "It is gone.", "2026-01-01T00:00:00Z"))
    bodies = {
        "point body": encode_body(point),
        "checkpoint body": canonical.encode(checkpoint._encode(sealed, 3)),
        "plan body": plan.encode(),
        "lease": Lease("p", frozenset(["ab" * 16]), "2026-01-01T00:00:00Z", "01" * 8).encode(),
        "damage record": store.get(damage_name(ID_1)),
    }
    return {name: body.decode() for name, body in bodies.items()}


WRITTEN: dict[str, str] = json.loads(VECTORS.read_text()) if VECTORS.exists() else {}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_what_is_written_down_is_what_is_made(name: str) -> None:
    assert computed()[name] == WRITTEN[name]


def test_every_vector_is_written_down() -> None:
    assert computed().keys() == WRITTEN.keys()


def test_the_sealed_vectors_open() -> None:
    envelope = parse_envelope(bytes.fromhex(WRITTEN["point"]), "point", "points/p")
    assert envelope.open(ROOT, "points/p", "points/p") == PLAIN
    assert parse_slot(WRITTEN["passphrase slot"].encode(), "passphrase-1").open("Passwort für Köln") == ROOT
    assert parse_slot(WRITTEN["recovery slot"].encode(), "recovery-1").open(bytes(range(20))) == ROOT
    assert parse_slot(WRITTEN["recovery slot"].encode(), "recovery-1").open("a passphrase") is None


if __name__ == "__main__":
    print(json.dumps(computed(), indent=1, ensure_ascii=False))
