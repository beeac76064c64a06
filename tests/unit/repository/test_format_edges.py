"""Edges of the format that no vector shows: limits from both sides, and what a writer must not make."""

import pytest

from services.chassis.errors import DataLoss, InvalidInput, ResourceExhausted
from services.mover.repository.format import canonical, envelope, segment, zstd
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_nonce, decode_entries
from services.mover.repository.format.crypto import seal
from services.mover.repository.format.envelope import parse_envelope, seal_object
from services.mover.repository.format.lease import encode_revocation, looks_like_revocation
from services.mover.repository.format.names import epoch_name, is_id, parse_numbered, parse_pack_name
from services.mover.repository.format.pack import PackFooter, PackHeader, open_directory
from services.mover.repository.format.page import decode_page
from services.mover.repository.format.plan import Plan, decode_plan
from services.mover.repository.format.point import Disk, Notice, RestorePoint, decode_body, encode_body
from services.mover.repository.format.recovery_key import parse_recovery_key, print_recovery_key
from services.mover.repository.format.segment import (
    PackRecord,
    Segment,
    decode_segment,
    encode_segment,
    split_into_segments,
)
from services.mover.repository.format.slot import checked_passphrase, parse_slot
from services.mover.repository.format.stream import StreamRef, decode_list
from tests.contract.repository.test_vectors import WRITTEN

ENTRY = BlobEntry(bytes(32), BlobType.CHUNK, 0, 4_194_304, 4_194_320)


def _nested(depth: int) -> dict[str, object]:
    value: object = 0
    for _ in range(depth):
        value = {"x": value}
    assert isinstance(value, dict)
    return value


def _sealed(public: dict[str, object], body: bytes) -> bytes:
    return seal_object(
        kind="point",
        name="points/p",
        root=bytes(32),
        generation=1,
        repository_id=bytes(16),
        salt=bytes(32),
        public=public,
        body=body,
    )


def test_a_directory_is_made_of_whole_entries() -> None:
    whole = ENTRY.encode()
    assert [ENTRY] * 3 == decode_entries(whole * 3, "it")
    for length in (1, 43, 45, 87):
        with pytest.raises(DataLoss, match="in the middle of an entry"):
            decode_entries((whole * 2)[:length], "it")


def test_every_slot_has_a_nonce_of_its_own_in_little_endian() -> None:
    assert bytes.fromhex("020100000000000000000000") == blob_nonce(0x0102)


def test_what_is_no_json_is_neither_written_nor_read() -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical.encode({"x": value})
    for text in (b'{"x":NaN}', b'{"x":Infinity}', b'{"x":1e999}', b"[1]", b"\xff", b"{", b'{"x":1}{}'):
        with pytest.raises(DataLoss):
            canonical.decode_object(text, "it")


def test_what_no_seal_protects_is_nested_eight_levels_deep_and_no_more() -> None:
    """A value in the outermost object is on level 1."""
    assert _nested(8) == canonical.decode_clear(canonical.encode(_nested(8)), "it")
    with pytest.raises(DataLoss):
        canonical.decode_clear(canonical.encode(_nested(9)), "it")


def test_a_segment_has_so_many_blobs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "MAX_BLOBS_PER_SEGMENT", 20)
    packs = tuple(PackRecord(bytes([n]) * 32, 4096, "data", 1, bytes(32), (ENTRY,) * 7) for n in range(3))
    assert Segment(packs[:2]) == decode_segment(encode_segment(Segment(packs[:2])), "it")
    with pytest.raises(DataLoss, match="more blobs than a segment may"):
        decode_segment(encode_segment(Segment(packs)), "it")


def test_segments_are_split_and_the_last_one_names_those_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "WRITTEN_BLOBS", 15)
    packs = [PackRecord(bytes([n]) * 32, 4096, "data", 1, bytes(32), (ENTRY,) * 7) for n in range(5)]
    made = list(split_into_segments(packs, [bytes(32)]))
    assert [2, 2, 1] == [len(each.packs) for each in made]
    assert [(), (), (bytes(32),)] == [each.superseded for each in made]


def test_an_object_that_nobody_could_read_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_MAX_BODY", 1000)
    assert _sealed({}, bytes(1000))
    assert _sealed({"x": "x" * ((1 << 20) - 8)}, b"x")
    too_much: list[tuple[dict[str, object], bytes]] = [
        ({}, bytes(1001)),
        ({"x": "x" * ((1 << 20) - 7)}, b"x"),
    ]
    for public, body in too_much:
        with pytest.raises(ResourceExhausted, match="more than any object has"):
            _sealed(public, body)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("0.b-c_d", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        (".a", False),
        ("-a", False),
        ("A", False),
        ("aA", False),
        ("a/b", False),
        ("a\n", False),
        ("ä", False),
    ],
)
def test_names_that_callers_choose(text: str, good: bool) -> None:
    assert good == is_id(text)


def test_names_that_are_numbered_have_all_their_digits() -> None:
    assert ("p", 7) == parse_numbered("leases/p/00000007", "leases/", 8)
    assert "epochs/00000007" == epoch_name(7)
    for tail in ("p/7", "p/000000007", "p/0000000\u0667", "P/00000007"):
        assert parse_numbered(f"leases/{tail}", "leases/", 8) is None
    assert parse_numbered("trash/p/00000007", "leases/", 8) is None


def test_a_pack_lies_in_the_folder_of_its_first_two_digits() -> None:
    digest = "ab" * 32
    assert ("meta", bytes.fromhex(digest)) == parse_pack_name(f"packs/meta/ab/{digest}")
    for name in (f"packs/meta/ac/{digest}", f"packs/meta/ab/{digest[:-1]}", f"packs/other/ab/{digest}"):
        assert parse_pack_name(name) is None


def test_a_commitment_is_checked_before_anything_is_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seal alone would open: AES-GCM does not commit to its key."""
    real = envelope._keys
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "_keys", lambda *what: (real(*what)[0], bytes(32)))
        data = _sealed({}, b"body")
        assert b"body" == parse_envelope(data, "point", "it").open(bytes(32), "points/p", "it")
    with pytest.raises(DataLoss, match="another key"):
        parse_envelope(data, "point", "it").open(bytes(32), "points/p", "it")


def test_a_public_part_has_a_mebibyte_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_MAX_PUBLIC", 2 << 20)
    data = _sealed({"x": "x" * (1 << 20)}, b"body")
    monkeypatch.setattr(envelope, "_MAX_PUBLIC", 1 << 20)
    with pytest.raises(DataLoss, match="its lengths are impossible"):
        parse_envelope(data, "point", "it")


def test_a_revocation_is_of_64_bytes() -> None:
    data = encode_revocation(bytes(32), bytes(16), "points/p")
    assert [True, False, False] == [looks_like_revocation(each) for each in (data, data + b"\0", data[:-1])]


@pytest.mark.parametrize(
    ("blobs", "directory", "count"),
    [
        (0, 16, 0),
        (1 << 20, 65_536 * 44 + 16, 65_536),
        ((128 << 20) - 168 - 32 - 60 + 1, 60, 1),
        (100, 61, 1),
    ],
)
def test_a_footer_of_an_impossible_pack(blobs: int, directory: int, count: int) -> None:
    footer = PackFooter(blobs, directory, count).encode()
    with pytest.raises(DataLoss):
        PackFooter.decode(footer, 168 + blobs + directory + 32, "it")


def test_the_footer_of_the_largest_pack_and_of_the_most_blobs() -> None:
    for footer in (
        PackFooter((128 << 20) - 168 - 32 - 60, 60, 1),
        PackFooter(65_535, 65_535 * 44 + 16, 65_535),
    ):
        size = 168 + footer.blobs + footer.directory + 32
        assert footer == PackFooter.decode(footer.encode(), size, "it")


def test_a_directory_that_contradicts_its_footer_is_damage() -> None:
    header = PackHeader("data", bytes(16), bytes(32), bytes(68), bytes(32))
    entry = BlobEntry(bytes(32), BlobType.CHUNK, 0, 10, 26)
    for blobs, good in ((26, True), (27, False)):
        footer = PackFooter(blobs, 60, 1)
        aad = b"xenkeep/1 directory" + header.encode() + footer.encode()
        sealed = seal(bytes(32), b"\xff" * 4 + bytes(8), entry.encode(), aad)
        if good:
            assert [entry] == open_directory(bytes(32), header, footer, sealed, "it")
        else:
            with pytest.raises(DataLoss, match="contradicts its footer"):
                open_directory(bytes(32), header, footer, sealed, "it")


def test_pages_have_levels_and_entries_within_their_limits() -> None:
    item = b"\1" + bytes(32)

    def head(form: int, level: int, depth: int, count: int) -> bytes:
        return bytes([form, level, depth, 0]) + count.to_bytes(2, "little") + bytes(2)

    assert 1024 == len(decode_page(head(1, 4, 0, 1024) + item * 1024, 16, "it").items)
    five_patches = b"\x0a" + (b"\0" + (1).to_bytes(8, "little")) * 5
    for page in (
        head(1, 5, 0, 1) + item,
        head(1, 1, 0, 1025) + item * 1025,
        head(2, 1, 1, 0) + bytes(32),
        head(1, 0, 0, 1) + five_patches,
    ):
        with pytest.raises(DataLoss):
            decode_page(page, 16, "it")


def test_a_plan_names_its_packs_in_order_and_by_kind() -> None:
    plan = Plan("ab" * 16, "", {bytes([9]) * 32: "meta", bytes([7]) * 32: "data", bytes([1]) * 32: "meta"})
    assert plan == decode_plan(plan.encode(), plan.name)
    names = canonical.decode_object(plan.encode(), "it")["packs"]
    assert names == sorted(names)
    assert 3 == len(names)


def test_a_point_has_so_many_disks_and_no_more() -> None:
    def body(disks: int) -> bytes:
        point = RestorePoint(
            *("p", None, {}, "normal", "crash", "full", "", ""),
            disks=tuple(Disk(f"d{n}", "", 0, None, "full") for n in range(disks)),
            streams={"document": StreamRef(1, bytes(32))},
            notices=(Notice("CODE", "A sentence."),),
            statistics={},
            document={"x": 1},
        )
        return encode_body(point)

    decoded = decode_body(body(1024), "it")
    assert (1024, {"x": 1}, "") == (len(decoded.disks), decoded.document, decoded.locked_until)
    assert (Notice("CODE", "A sentence."),) == decoded.notices
    assert b"locked" not in body(1)
    assert b"kind" not in body(1)
    with pytest.raises(DataLoss, match="1025 disks"):
        decode_body(body(1025), "it")


def test_a_point_is_read_as_it_was_written() -> None:
    body = WRITTEN["point body"].encode()
    assert body == encode_body(decode_body(body, "it"))


def test_a_segment_lists_no_pack_without_blobs_and_none_with_too_many() -> None:
    for blobs, good in ((0, False), (1, True), (65_535, True), (65_536, False)):
        pack = PackRecord(bytes(32), 4096, "data", 1, bytes(32), (ENTRY,) * blobs)
        data = encode_segment(Segment((pack,)))
        if good:
            assert blobs == len(decode_segment(data, "it").packs[0].entries)
        else:
            with pytest.raises(DataLoss, match="impossible pack"):
                decode_segment(data, "it")


def test_a_list_has_items_and_not_too_many() -> None:
    def data(count: int) -> bytes:
        return bytes(4) + count.to_bytes(4, "little") + bytes(40) * count

    assert 16_384 == len(decode_list(data(16_384), "it")[1])
    for count in (0, 16_385):
        with pytest.raises(DataLoss, match="its head is impossible"):
            decode_list(data(count), "it")


def test_what_is_stored_raw_is_as_long_as_it_says() -> None:
    assert b"abc" == zstd.decompress(zstd.RAW, b"abc", 3, "it")
    for length in (2, 4):
        with pytest.raises(DataLoss, match="instead of"):
            zstd.decompress(zstd.RAW, b"abc", length, "it")


def test_a_compression_nobody_knows_is_not_tried() -> None:
    code, packed = zstd.compress(bytes(100))
    assert bytes(100) == zstd.decompress(code, packed, 100, "it")
    with pytest.raises(DataLoss, match="compression 2 is unknown"):
        zstd.decompress(2, packed, 100, "it")


def test_what_only_looks_like_a_recovery_key_is_a_passphrase() -> None:
    secret = bytes(range(20))
    printed = print_recovery_key(secret)
    assert secret == parse_recovery_key(printed.lower().replace("-", " "))
    plain = printed.replace("-", "")
    for text in (plain[:-1] + "0", plain + "0", plain[:-1], printed + "-0000", plain[:-1] + "U"):
        assert parse_recovery_key(text) is None


def test_a_secret_opens_its_own_kind_of_slot_and_a_wrong_one_is_told_from_damage() -> None:
    passphrase, recovery = (
        parse_slot(WRITTEN[f"{kind} slot"].encode(), f"{kind}-1") for kind in ("passphrase", "recovery")
    )
    assert bytes(range(32)) == recovery.open(bytes(range(20)))
    assert bytes(range(32)) == passphrase.open("Passwort f\u00fcr Ko\u0308ln")
    assert [None] * 2 == [passphrase.open("another"), recovery.open(bytes(20))]
    assert [None] * 2 == [recovery.open("a passphrase"), passphrase.open(bytes(20))]


def test_a_passphrase_has_eight_characters_at_least() -> None:
    assert "12345678" == checked_passphrase("12345678")
    with pytest.raises(InvalidInput, match="fewer than 8"):
        checked_passphrase("1234567")
