"""What the format forbids, as bytes that are written down: refused by the product and the document's reader.

``python -m tests.contract.repository.test_refusals`` prints them; they are added to, never changed.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from services.mover.repository.format.envelope import seal_object
from services.mover.repository.format.epoch import encode_epoch_object, wrap_data_key
from tests.contract.repository.structures import POINT, REFUSALS, ROOT, STRUCTURES, U
from tests.contract.repository.test_vectors import DATA_KEY, NONCE, PLAIN, SALT, WRITTEN

pytestmark = pytest.mark.scenario(36)
REFUSED = Path(__file__).with_name("refusals.json")
Change = Callable[[bytes], bytes]


def at(offset: int, data: bytes) -> Change:
    """Other bytes there; from the end when negative."""

    def change(vector: bytes) -> bytes:
        start = offset % len(vector)
        return vector[:start] + data + vector[start + len(data) :]

    return change


def summed(change: Change) -> Change:
    """The same, under a right checksum."""
    return lambda vector: (body := change(vector)[:-32]) + hashlib.sha256(body).digest()


def to(old: str, new: str) -> Change:
    def change(vector: bytes) -> bytes:
        assert vector.count(old.encode()) >= 1, old
        return vector.replace(old.encode(), new.encode(), 1)

    return change


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "little")


def cut(vector: bytes) -> bytes:
    return vector[:-1]


def more(vector: bytes) -> bytes:
    return vector + b"\0"


def _entry(vector: bytes) -> bytes:
    """The directory entry in the segment vector."""
    return vector[-44:]


def _resealed(**changes: object) -> Change:
    values: dict[str, object] = {
        "kind": "point",
        "name": POINT,
        "root": ROOT,
        "generation": 1,
        "repository_id": U,
        "salt": SALT,
        "public": {"point": "p"},
        "body": PLAIN,
    }
    return lambda _: seal_object(**(values | changes))  # type: ignore[arg-type]


def _epoch(epoch: int, generation: int) -> Change:
    """Properly wrapped."""
    return lambda _: encode_epoch_object(wrap_data_key(ROOT, U, epoch, generation, DATA_KEY, NONCE))


def _nested(depth: int) -> object:
    return [] if not depth else [_nested(depth - 1)]


def _with_public(public: bytes) -> Change:
    """The point with another public part, of the same length, under a right checksum."""
    return summed(at(112, public))


KEY_TELLS = {
    *("a changed time", "a MAC that is cut", "a feature more than its MAC knows"),
    *("another epoch", "another generation", "another nonce"),
    *("a compression it was not sealed with", "another root key", "another repository", "another salt"),
    *("another commitment", "another length of the body", "a changed public part", "a changed seal"),
    *("sealed under another name", "sealed with another key", "sealed for another repository"),
}
"""What is only seen by whoever has the root key."""
CHANGES: dict[str, dict[str, Change]] = {
    "header": {
        "another version": to('"version":1', '"version":2'),
        "an unknown mandatory feature": to('"mandatory":[]', '"mandatory":["warp"]'),
        "a writer's flag as a mandatory one": to('"mandatory":[]', '"mandatory":["prune"]'),
        "a changed time": to("2026-01-01", "2026-01-02"),
        "a feature more than its MAC knows": to('"optional":[]', '"optional":["gloss"]'),
        "chunks that are no power of two": to("1048576", "1048577"),
        "chunks of less than a block": to("1048576", "32768"),
        "chunks of more than a blob": to("1048576", "8388608"),
        "packs of less than a chunk": to("33554432", "1048575"),
        "packs of more than half of what readers accept": to("33554432", "67108865"),
        "other blocks": to('"block_bytes":65536', '"block_bytes":4096'),
        "an id in upper case": to("0a0b0c0d0e0f", "0A0b0c0d0e0f"),
        "an id that is too short": to("0d0e0f", "0d0e"),
        "another format": to("xenkeep-repository", "xenkeep-depository"),
        "white space": to('{"block', '{ "block'),
        "a key twice": to('{"block', '{"block_bytes":65536,"block'),
        "a MAC that is cut": to('"mac":"0', '"mac":"'),
        "a boolean for a number": to('"version":1', '"version":true'),
    },
    "passphrase slot": {
        "too many rounds": to('"time":2', '"time":65'),
        "no rounds": to('"time":2', '"time":0'),
        "too much memory": to('"memory_kib":256', '"memory_kib":4194305'),
        "less memory than its lanes take": to('"memory_kib":256', '"memory_kib":15'),
        "white space": to('{"commitment', '{ "commitment'),
        "too many lanes, with memory for them": to(
            '"lanes":2,"memory_kib":256', '"lanes":65,"memory_kib":520'
        ),
        "too many lanes": to('"lanes":2', '"lanes":65'),
        "another id": to('"slot":"passphrase-1"', '"slot":"passphrase-2"'),
        "another version": to('"version":1,"wrap"', '"version":2,"wrap"'),
        "another format": to("xenkeep-key-slot", "xenkeep-key-slit"),
        "the way of another kind": to('"name":"argon2id"', '"name":"hkdf"'),
        "an unknown kind": to('"kind":"passphrase"', '"kind":"password"'),
        "a root key of generation 0": to('"generation":1', '"generation":0'),
        "a salt that is too short": to('4e4f"', '4e"'),
        "a header of the future": to('"mandatory":[]', '"mandatory":["warp"]'),
        "no wrap": to('"wrap"', '"wrip"'),
    },
    "recovery slot": {
        "another salt": to("40414243", "40414244"),
        "another commitment": to('"commitment":"f', '"commitment":"e'),
        "another label": to("B\\u00fcro", "B\\u00fcra"),
        "another time": to("2026", "2027"),
        "a changed header": to("33554432", "33554431"),
    },
    "recovery key": {
        "other check characters": to("7R86", "7R87"),
        "another secret": to("40R4", "40R5"),
        "a character that is none": to("40R4", "40U4"),
    },
    "epoch": {
        "another magic": summed(at(0, b"XKEPOCH2")),
        "a wrong checksum": at(-1, b"\0"),
        "epoch 0": _epoch(0, 1),
        "an epoch beyond eight digits": _epoch(100_000_000, 1),
        "generation 0": _epoch(1, 0),
        "another epoch": summed(at(8, number(2, 4))),
        "another generation": summed(at(12, number(2, 4))),
        "another nonce": summed(at(16, b"\xff")),
        "a byte less": summed(lambda vector: vector[:75] + vector[76:]),
        "a byte more": summed(lambda vector: vector[:76] + b"\0" + vector[76:]),
    },
    "pack header": {
        "another magic": at(0, b"\x88"),
        "another version": at(8, b"\2"),
        "kind 0": at(9, b"\0"),
        "kind 3": at(9, b"\3"),
        "reserved bytes at 10": at(15, b"\1"),
        "reserved bytes at 164": at(167, b"\1"),
        "another repository": at(16, b"\xff"),
        "epoch 0": at(64, number(0, 4)),
        "too short": lambda vector: vector[:167],
    },
    "pack footer": {
        "another magic": at(-1, b"2"),
        "reserved bytes": at(-16, b"\1"),
        "more bytes of blobs": at(-32, number(60, 8)),
        "more bytes of directory": at(-24, number(61, 4)),
        "another number of blobs": at(-20, number(2, 4)),
        "no blobs": at(-20, number(0, 4)),
        "a byte more before it": lambda vector: b"\0" + vector,
    },
    "directory entry": {
        "type 0": lambda vector: at(32, b"\0")(_entry(vector)),
        "type 6": lambda vector: at(32, b"\6")(_entry(vector)),
        "an unknown compression": lambda vector: at(33, b"\2")(_entry(vector)),
        "reserved bytes": lambda vector: at(35, b"\1")(_entry(vector)),
        "no content": lambda vector: at(36, number(0, 4) + number(16, 4))(_entry(vector)),
        "more than a blob": lambda vector: at(36, number(4_194_305, 4))(_entry(vector)),
        "stored in more bytes than plain": lambda vector: at(40, number(60, 4))(_entry(vector)),
        "nothing but a tag": lambda vector: at(40, number(16, 4))(_entry(vector)),
    },
    "compressed blob": {
        "two frames": lambda vector: vector * 2,
        "something after the frame": more,
        "a cut frame": cut,
        "a frame of other content size": lambda _: zstandard.compress(bytes(1001)),
        "a frame without its content size": lambda _: zstandard.ZstdCompressor(
            write_content_size=False
        ).compress(bytes(1000)),
        "no frame": lambda _: bytes(20),
    },
    "leaf page": {
        "form 0": at(0, b"\0"),
        "form 3": at(0, b"\3"),
        "a level no disk has": at(1, b"\5"),
        "another level": at(1, b"\1"),
        "a whole page with a depth": at(2, b"\1"),
        "reserved byte 3": at(3, b"\1"),
        "reserved bytes 6 and 7": at(7, b"\1"),
        "no entries": at(4, number(0, 2)),
        "fewer entries than there are": at(4, number(5, 2)),
        "more entries than there are": at(4, number(7, 2)),
        "more entries than a page has": at(4, number(1025, 2)),
        "a reserved bit in a tag": at(8, b"\x11"),
        "five patches": at(8, b"\x0b"),
        "a hole at the end": lambda vector: at(4, number(7, 2))(vector) + b"\0",
        "something after it": more,
        "a patch of a third kind": at(-42, b"\2"),
        "a patch of no block": at(-41, bytes(8)),
        "a patch of a block beyond the chunk": at(-41, number(1 << 16, 8)),
        "a patch beyond its group": at(-33, b"\x40"),
    },
    "leaf delta": {
        "depth 0": at(2, b"\0"),
        "depth 9": at(2, b"\x09"),
        "entries out of order": at(40, number(1023, 2)),
        "an entry twice": at(43, number(1, 2)),
        "an entry beyond the page": at(43, number(1024, 2)),
        "no base": lambda vector: vector[:8],
    },
    "inner page": {
        "an entry with patches": at(8, b"\3"),
        "an unknown tag": at(8, b"\2"),
        "a cut id": cut,
    },
    "list": {
        "a level that is too deep": at(0, b"\4"),
        "reserved bytes": at(3, b"\1"),
        "no items": at(4, number(0, 4)),
        "more items than there are": at(4, number(3, 4)),
        "fewer items than there are": at(4, number(1, 4)),
        "too many items": lambda vector: at(4, number(16_385, 4))(vector[:8] + vector[8:48] * 16_385)[:90],
        "no head": lambda vector: vector[:7],
    },
    "segment": {
        "another version": at(0, number(2, 4)),
        "a kind of pack that is none": at(84, b"\3"),
        "reserved bytes": at(87, b"\1"),
        "a pack that is too large": at(76, number((128 << 20) + 1, 8)),
        "a pack without blobs": at(124, number(0, 4)),
        "a pack with too many blobs": at(124, number(65_536, 4)),
        "more packs than there are": at(40, number(2, 4)),
        "fewer packs than there are": at(40, number(0, 4)),
        "something after it": more,
        "a cut": cut,
        "an entry of an unknown type": at(-12, b"\6"),
    },
    "point": {
        "another magic": summed(at(0, b"\x88")),
        "another version": summed(at(8, b"\2")),
        "another kind": summed(at(9, b"\2")),
        "a compression it was not sealed with": summed(at(10, b"\1")),
        "reserved byte 11": summed(at(11, b"\1")),
        "another root key": summed(at(12, number(2, 4))),
        "another repository": summed(at(16, b"\xff")),
        "another salt": summed(at(32, b"\xff")),
        "another commitment": summed(at(64, b"\xff")),
        "reserved bytes at 100": summed(at(103, b"\1")),
        "another length of the body": summed(at(104, number(44, 8))),
        "a body that is too long": summed(at(104, number((256 << 20) + 1, 8))),
        "a public part that is too long": summed(at(96, number(1 << 30, 4))),
        "a changed public part": _with_public(b'{"point":"q"}'),
        "a public part that is not canonical": _with_public(b'{"point":"" }'),
        "a public part that is no JSON": _with_public(b'["point","p"]'),
        "a wrong checksum": at(-1, b"\0"),
        "a changed seal": summed(at(-40, b"\xff\xff")),
        "sealed under another name": _resealed(name="points/q"),
        "sealed as another kind": _resealed(kind="plan"),
        "sealed with another key": _resealed(root=bytes(32)),
        "sealed for another repository": _resealed(repository_id=bytes(16)),
        "a public part that is nested too deep": _resealed(public={"point": _nested(9)}),
        "nothing but a head": lambda vector: vector[:112],
    },
    "sealed segment": {"another kind": summed(at(9, b"\1")), "a changed seal": summed(at(-40, b"\xff"))},
    "sealed checkpoint": {"another kind": summed(at(9, b"\4")), "a changed seal": summed(at(-40, b"\xff"))},
    "sealed plan": {"another kind": summed(at(9, b"\3")), "a changed seal": summed(at(-40, b"\xff"))},
    "point body": {
        "no method": to('"method"', '"mothod"'),
        "no document": to('"document"', '"dacument"'),
        "a root that is too short": to('"root":"11', '"root":"'),
        "a root in upper case": lambda vector: vector.replace(b"11" * 32, b"AA" * 32),
        "a size below zero": to('"size_bytes":0', '"size_bytes":-1'),
        "a disk that is too large": to('"size_bytes":0', '"size_bytes":9223372036854775808'),
        "a stream of less than nothing": to('"bytes":0', '"bytes":-1'),
        "a list that is none": to('"list":"22', '"list":"2x'),
        "not even JSON": cut,
        "a number that is none": to("2.5", "NaN"),
    },
    "checkpoint body": {
        "a position below zero": to('"7":null', '"-7":null'),
        "a position that is no number": to('"7":null', '"x":null'),
        "a page that is none": to('"0":"11', '"0":"'),
        "entries that are no base 64": to('"entries":"', '"entries":"*'),
        "something that is no pack": to("packs/data/", "packs/dato/"),
        "a transfer that is no id": to('"transfer":"t"', '"transfer":"T"'),
        "a point that is no id": to('"point":"p"', '"point":"../p"'),
    },
    "plan body": {
        "another plan": to("abab", "acab"),
        "another version": to('"version":1', '"version":2'),
        "something that is no pack": to("packs/meta/", "points/eta/"),
        "a pack in another folder": to("packs/data/11/", "packs/data/12/"),
        "no packs": to('"packs"', '"pocks"'),
    },
    "lease": {
        "another format": to("xenkeep-lease", "xenkeep-please"),
        "another version": to('"version":1', '"version":2'),
        "plans that are none": to('"plans":["', '"plans":[1,"'),
        "something after it": more,
        "white space": to('{"format', '{ "format'),
        "no point": to('"point"', '"paint"'),
    },
    "revocation": {
        "another magic": at(0, b"Y"),
        "another repository": at(8, b"\xff"),
        "reserved bytes": at(31, b"\1"),
        "another MAC": at(-1, b"\0"),
        "a byte more": more,
        "a byte less": cut,
    },
}
for _name, _whys in {
    "header without a key": CHANGES["header"].keys() - KEY_TELLS,
    "point without a key": CHANGES["point"].keys() - KEY_TELLS,
    "epoch without a key": CHANGES["epoch"].keys() - KEY_TELLS,
}.items():
    _changes = CHANGES[_name.partition(" ")[0]]
    CHANGES[_name] = {why: _changes[why] for why in sorted(_whys)}
CASES = [(vector, why) for vector, changes in CHANGES.items() for why in changes]
POSITIVE = {f"{name} without a key": name for name in ("header", "point", "epoch")}
POSITIVE |= {"pack header": "pack", "pack footer": "pack", "directory entry": "segment"}
DECODED_AS = {"leaf delta": "leaf page", "inner page": "leaf page", "deeper list": "list"}
WRITTEN_DOWN: dict[str, dict[str, str]] = json.loads(REFUSED.read_text()) if REFUSED.exists() else {}


def vector(name: str) -> bytes:
    text = WRITTEN[POSITIVE.get(name, name)]
    is_text = name in STRUCTURES and STRUCTURES[name].text
    whole = text.encode() if is_text else bytes.fromhex(text)
    return _entry(whole) if name == "directory entry" else whole


def refused(name: str, why: str) -> bytes:
    source = bytes.fromhex(WRITTEN["segment"]) if name == "directory entry" else vector(name)
    return CHANGES[name][why](source)


def computed() -> dict[str, dict[str, str]]:
    """All that are written down: hexadecimal, or text where it is text."""
    return {
        name: {
            why: data.decode() if name in STRUCTURES and STRUCTURES[name].text else data.hex()
            for why in changes
            if (data := refused(name, why))
        }
        for name, changes in CHANGES.items()
    }


@pytest.mark.parametrize("name", sorted(STRUCTURES.keys() | DECODED_AS.keys()))
def test_what_the_format_allows_is_read_by_both(name: str) -> None:
    structure = STRUCTURES[DECODED_AS.get(name, name)]
    structure.product(vector(name))
    structure.document(vector(name))


@pytest.mark.parametrize(("name", "why"), CASES)
def test_what_the_format_forbids_is_refused_by_both(name: str, why: str) -> None:
    structure = STRUCTURES[DECODED_AS.get(name, name)]
    data = refused(name, why)
    assert data != vector(name)
    for decode in (structure.product, structure.document):
        with pytest.raises(REFUSALS):
            decode(data)


def test_every_structure_that_is_parsed_has_something_that_is_refused() -> None:
    assert STRUCTURES.keys() <= CHANGES.keys()


def test_what_is_refused_is_written_down() -> None:
    assert computed() == WRITTEN_DOWN


if __name__ == "__main__":
    print(json.dumps(computed(), indent=1, ensure_ascii=False))
