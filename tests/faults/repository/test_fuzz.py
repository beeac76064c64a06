"""Whatever is read back from a store may be anything, even inside valid seals: an answer or a named error."""

import base64
import contextlib
import hashlib
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from services.chassis.errors import Unavailable, XenkeepError
from services.mover.repository import MemoryStore
from services.mover.repository.format import canonical
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.header import _mac
from services.mover.repository.format.names import HEADER
from services.mover.repository.format.page import Entry, Page, Patch, encode_page
from services.mover.repository.format.stream import ListItem, encode_list
from tests.faults.repository.hostile_repository import CONTENT, GOOD, Forger, use
from tests.faults.repository.mutations import any_json, mutated, mutated_json
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    OPTIONS,
    add_disk,
    back_up,
    description,
    new_repository,
    reopen,
    restored,
)

pytestmark = pytest.mark.scenario(36)
ROUNDS = 150 if THOROUGH else 10
FOUND = {"checkpoint": [63]}
"""Seeds that found something once."""
TAILS = ["x", "99999999", "9" * 20, "²" * 8, "٣" * 8, "ff" * 32, "data/ff/" + "ff" * 32, "t/99999998"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A good point, and an unfinished transfer ``t``."""
    store = MemoryStore()
    with new_repository(store, tmp_path_factory.mktemp("cache"), 2 * BLOCK, MIB) as repository:
        with repository.begin_backup(GOOD, options=OPTIONS) as session:
            add_disk(session, CONTENT)
            session.stream("vm-configuration", [b"<vm/>" * 9])
            session.commit(description())
        with repository.begin_backup("t-next", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, CONTENT)
    return store.objects


class Room:
    """A copy of the pristine repository for one round."""

    def __init__(self, pristine: dict[str, bytes], cache: Path, seed: int) -> None:
        self.store = MemoryStore()
        self.store.objects = dict(pristine)
        self.dice = random.Random(seed)
        with reopen(self.store, cache) as repository:
            self.forger = Forger(self.store, repository)
            self.keys = self.forger.keys

    def only(self, prefix: str) -> str:
        return next(name for name in sorted(self.store.objects) if name.startswith(prefix))


def _point_body(room: Room) -> None:
    body = room.forger.body(GOOD)
    value = mutated_json(body, room.dice) if room.dice.random() < 0.95 else any_json(room.dice, 4)
    room.forger.point("bad", _json(value))


def _page(room: Room) -> None:
    items = {n: Entry(room.dice.randbytes(32), (Patch(1), Patch(2, bytes(32), 3))) for n in range(4)}
    plain = room.dice.choice(
        [
            encode_page(Page(0, items)),
            encode_page(Page(0, {3: None}, 1, bytes(32))),
            encode_page(Page(1, {0: bytes(32)})),
        ]
    )
    plain = mutated(plain, room.dice) or b"\0"
    entry = room.forger.entry(BlobType.PAGE, plain)
    room.forger.pack("meta", [(entry, plain)], room.dice)
    body = room.forger.body(GOOD)
    body["disks"][0] |= {"root": entry.id.hex(), "size_bytes": room.dice.choice((1, MIB, 2**40, 2**63 - 1))}
    room.forger.point("bad", _json(body))


def _list(room: Room) -> None:
    plain = mutated(encode_list(0, [ListItem(bytes(32), 5), ListItem(bytes(32), 2**40)]), room.dice) or b"\0"
    entry = room.forger.entry(BlobType.LIST, plain)
    room.forger.pack("meta", [(entry, plain)], room.dice)
    body = room.forger.body(GOOD)
    length = room.dice.choice((0, 5, 2**40 + 5, 2**63 - 1))
    body["streams"]["vm-configuration"] |= {"bytes": length, "list": entry.id.hex()}
    room.forger.point("bad", _json(body))


def _segment(room: Room) -> None:
    name = room.only("index/")
    with_keys = room.forger._objects.get_segment(bytes.fromhex(name.removeprefix("index/")))
    room.forger.segment(mutated(with_keys, room.dice))


def _checkpoint(room: Room) -> None:
    name = room.only("checkpoints/")
    body = canonical.decode_object(room.forger._objects.get("checkpoint", name)[1], name)
    for disk in body["disks"]:
        entries = base64.b64decode(disk["entries"]) or bytes(9)
        disk["entries"] = base64.b64encode(mutated(entries, room.dice)).decode()
    room.forger.object("checkpoint", name, _json(mutated_json(body, room.dice)))


def _public_part(room: Room) -> None:
    public = mutated_json({"segments": [room.only("index/").removeprefix("index/")]}, room.dice)
    body = _json(room.forger.body(GOOD))
    room.forger.object("point", "points/bad", body, _encodable(public))


def _directory(room: Room) -> None:
    entry = room.forger.entry(BlobType.CHUNK, bytes(84))
    count = room.dice.choice((1, 1, 2, 0, 65_535))
    room.forger.pack_with_directory("data", mutated(entry.encode(), room.dice), count, room.dice)


def _blob(room: Room) -> None:
    """Content that is not what its entry says: garbage as zstd, bombs, other lengths, other types."""
    packed = zstandard.ZstdCompressor().compress(bytes(room.dice.choice((1000, 64 * MIB))))
    plain = room.dice.choice((mutated(packed, room.dice), packed, bytes(100)))
    entry = room.forger.entry(
        room.dice.choice(list(BlobType)), plain, room.dice.randrange(2), room.dice.choice((0, 1000, 4 * MIB))
    )
    room.forger.pack(room.dice.choice(("data", "meta")), [(entry, plain)], room.dice)
    body = room.forger.body(GOOD)
    body["disks"][0] |= {"root": entry.id.hex()}
    body["streams"]["vm-configuration"] |= {"list": entry.id.hex()}
    room.forger.point("bad", _json(body))


def _slot(room: Room) -> None:
    name = room.only("keys/p")
    slot = canonical.decode_object(room.store.objects[name], name)
    room.store.objects["keys/a-bad"] = _json(mutated_json(slot | {"slot": "a-bad"}, room.dice))
    if room.dice.random() < 0.3:
        room.store.objects["keys/a-bad"] = mutated(room.store.objects[name], room.dice)


def _header(room: Room) -> None:
    header = mutated_json(canonical.decode_object(room.store.objects[HEADER], HEADER), room.dice)
    if isinstance(header, dict) and room.dice.random() < 0.5:
        plain = _encodable({key: value for key, value in header.items() if key != "mac"})
        header = plain | {"mac": _mac(plain, room.keys.root, room.keys.repository_id).hex()}
    room.store.objects[HEADER] = _json(header)


def _epoch(room: Room) -> None:
    record = mutated(room.store.objects["epochs/00000001"][8:76], room.dice)
    data = b"XKEPOCH1" + record
    number = room.dice.choice((1, 2, 0, 99_999_999))
    room.store.objects[f"epochs/{number:08d}"] = data + hashlib.sha256(data).digest()


def _names(room: Room) -> None:
    """Junk wherever a store may list it."""
    for prefix in (
        "packs/",
        "index/",
        "points/",
        "checkpoints/",
        "damage/",
        "epochs/",
        "features/",
        "leases/",
        "prune/",
        "trash/",
        "t/",
    ):
        for tail in room.dice.sample(TAILS, 4):
            room.store.objects.setdefault(prefix + tail, room.dice.randbytes(room.dice.choice((0, 1, 300))))


def _lease_and_plan(room: Room) -> None:
    """And a deleted point, a revocation, the ballast."""
    plan = {"made_time": "", "packs": [room.only("packs/")], "plan": "ab" * 16, "version": 1}
    room.forger.object("plan", "prune/" + "ab" * 16, _json(mutated_json(plan, room.dice)))
    lease = {
        "format": "xenkeep-lease",
        "plans": ["ab" * 16],
        "point": "again",
        "started_time": "",
        "version": 1,
    }
    room.store.objects["leases/again/00000001"] = _json(mutated_json(lease, room.dice))
    good = room.store.objects["points/good"]
    room.store.objects[f"trash/gone/{room.dice.choice(('000000000001', '999999999999', 'x'))}"] = mutated(
        good, room.dice
    )
    room.store.objects["points/bad"] = mutated(b"XKREVOK1" + bytes(56), room.dice)
    room.store.objects["reserve/ballast"] = mutated(bytes(20), room.dice)


def _json(value: object) -> bytes:
    """As canonical as it can be made, NaN included, which is no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _encodable(value: object) -> dict[str, object]:
    try:
        canonical.encode(value)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


HOSTILE: dict[str, Callable[[Room], None]] = {
    "blob": _blob,
    "checkpoint": _checkpoint,
    "directory": _directory,
    "epoch": _epoch,
    "header": _header,
    "lease and plan": _lease_and_plan,
    "list": _list,
    "names": _names,
    "page": _page,
    "point": _point_body,
    "public part": _public_part,
    "segment": _segment,
    "slot": _slot,
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_nonsense_under_valid_seals_is_answered_with_errors_of_ours(
    pristine: dict[str, bytes], tmp_path: Path, what: str, injections: Injections
) -> None:
    for seed in (*range(ROUNDS), *FOUND.get(what, ())):
        room = Room(pristine, tmp_path / "room", seed)
        HOSTILE[what](room)
        with injections.one():
            try:
                use(
                    room.store,
                    tmp_path / f"{seed}",
                    ["bad"] if "points/bad" in room.store.objects else [],
                )
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise


@pytest.mark.scenario(19)
def test_a_local_index_with_bits_changed_restores_right_bytes_or_says_why_not(
    tmp_path: Path, injections: Injections
) -> None:
    """And what is backed up with it is whole for everybody else."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "made", 2 * BLOCK, MIB) as repository:
        back_up(repository, GOOD, CONTENT)
    (file,) = (tmp_path / "made").glob("*.sqlite")
    before, pristine_file = dict(store.objects), file.read_bytes()
    for seed in range(2 * ROUNDS):
        dice = random.Random(seed)
        broken = bytearray(pristine_file)
        for _ in range(dice.choice((1, 3, 20, 200))):
            broken[dice.randrange(100, len(broken))] ^= 1 << dice.randrange(8)
        store.objects = dict(before)
        here = tmp_path / f"here-{seed}"
        here.mkdir()
        (here / file.name).write_bytes(broken)
        with injections.one():
            with contextlib.suppress(XenkeepError), reopen(store, here) as repository:
                assert restored(repository, GOOD) == CONTENT
                back_up(repository, "next", CONTENT)
            with reopen(store, tmp_path / f"there-{seed}") as repository:
                for point in repository.list_points():
                    assert restored(repository, point) == CONTENT


@pytest.mark.scenario(19)
def test_a_local_index_whose_schema_is_no_text_is_made_anew(tmp_path: Path) -> None:
    """SQLite quotes it in its error, which no string can hold then."""
    store = MemoryStore()
    with new_repository(store, tmp_path, 2 * BLOCK, MIB) as repository:
        back_up(repository, GOOD, CONTENT)
    (file,) = tmp_path.glob("*.sqlite")
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE packs", b"CREATE \xd2\xccBLE packs"))
    with reopen(store, tmp_path) as repository:
        assert restored(repository, GOOD) == CONTENT


@pytest.mark.scenario(19)
def test_a_local_index_with_a_kind_that_there_is_not_is_made_anew(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path, 2 * BLOCK, MIB) as repository:
        back_up(repository, GOOD, CONTENT)
    (file,) = tmp_path.glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as cache, cache:
        cache.execute("UPDATE packs SET kind = 99")
    with reopen(store, tmp_path) as repository:
        with pytest.raises(Unavailable, match="made anew"):
            restored(repository, GOOD)
        assert restored(repository, GOOD) == CONTENT
