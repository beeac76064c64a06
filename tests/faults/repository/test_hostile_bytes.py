"""Bytes from outside are an answer or an error, never a crash, a hang or a bomb."""

import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import DataLoss, FailedPrecondition
from services.mover.repository.format import canonical, zstd
from services.mover.repository.format.blob import BlobEntry, BlobType, blob_aad, blob_id, blob_nonce
from services.mover.repository.format.envelope import parse_envelope
from services.mover.repository.format.epoch import decode_epoch_object
from services.mover.repository.format.header import parse_header
from services.mover.repository.format.pack import FOOTER_BYTES, HEADER_BYTES, PackFooter, PackHeader
from services.mover.repository.format.point import decode_body
from services.mover.repository.format.segment import decode_segment
from services.mover.repository.format.slot import parse_slot
from services.mover.repository.format.stream import decode_list
from services.mover.repository.keys import KeyRing
from services.mover.repository.reader import open_blob
from tests.contract.repository.test_vectors import WRITTEN
from tests.unit.repository.world import noise

DECODERS: dict[str, Callable[[bytes], object]] = {
    "envelope": lambda data: parse_envelope(data, "point", "it"),
    "epoch": lambda data: decode_epoch_object(data, "it"),
    "header": lambda data: parse_header(canonical.decode_object(data, "it"), "it"),
    "list": lambda data: decode_list(data, "it"),
    "pack footer": lambda data: PackFooter.decode(data[-FOOTER_BYTES:], len(data), "it"),
    "pack header": lambda data: PackHeader.decode(data[:HEADER_BYTES], "it"),
    "point": lambda data: decode_body(data, "it"),
    "segment": lambda data: decode_segment(data, "it"),
    "slot": lambda data: parse_slot(data, "passphrase-1"),
}
SAMPLES = {
    "envelope": bytes.fromhex(WRITTEN["point"]),
    "epoch": bytes.fromhex(WRITTEN["epoch"]),
    "header": WRITTEN["header"].encode(),
    "list": bytes.fromhex(WRITTEN["list"]),
    "pack footer": bytes.fromhex(WRITTEN["pack"]),
    "pack header": bytes.fromhex(WRITTEN["pack"]),
    "point": b'{"asset":{},"disks":[],"streams":{}}',
    "segment": bytes.fromhex(WRITTEN["segment"]),
    "slot": WRITTEN["passphrase slot"].encode(),
}


@pytest.mark.scenario(36)
@pytest.mark.parametrize("name", sorted(DECODERS))
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 2000)),
    junk=st.one_of(st.none(), st.binary(max_size=300)),
)
def test_every_decoder_answers_or_reports_damage(
    name: str, changes: list[tuple[int, int]], cut: int | None, junk: bytes | None
) -> None:
    data = bytearray(SAMPLES[name] if junk is None else junk)
    for at, value in changes:
        if at < len(data):
            data[at] = value
    try:
        DECODERS[name](bytes(data[:cut]))
    except (DataLoss, FailedPrecondition) as error:
        assert error.reason in (
            "REPOSITORY_DAMAGED",
            "REPOSITORY_OF_THE_FUTURE",
            "REPOSITORY_FEATURE_UNKNOWN",
        )


@pytest.mark.scenario(36)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
    )
)
def test_any_json_in_place_of_a_point_is_damage(value: object) -> None:
    body = {
        key: value
        for key in (
            "asset",
            "base_point",
            "disks",
            "document",
            "level",
            "notices",
            "point",
            "streams",
            "method",
        )
    }
    with pytest.raises(DataLoss):
        decode_body(canonical.encode(body), "it")


@pytest.mark.scenario(36)
@pytest.mark.parametrize("depth", [1000, 100_000])
def test_deeply_nested_json_is_damage(depth: int) -> None:
    with pytest.raises(DataLoss):
        decode_body(b"[" * depth + b"]" * depth, "it")


@pytest.mark.scenario(36)
def test_a_decompression_bomb_is_refused_before_it_unfolds() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    with pytest.raises(DataLoss, match="another length"):
        zstd.decompress(zstd.ZSTD, bomb, 4 << 20, "it")
    headless = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))
    with pytest.raises(DataLoss):
        zstd.decompress(zstd.ZSTD, headless, 4 << 20, "it")


@pytest.mark.parametrize("level", [-5, 1, 19])
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("size", [1, 255, 65_792, (1 << 20) + 1])
def test_a_compressed_blob_is_one_whole_frame_and_nothing_else(level: int, checksum: bool, size: int) -> None:
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
    for plain in (bytes(size), noise(size), b"abcdefg" * (size // 7) + noise(size % 7)):
        packed = compressor.compress(plain)
        assert zstd.decompress(zstd.ZSTD, packed, size, "it") == plain
        for wrong in (packed + b"x", packed[:-1], packed + packed, packed[:5]):
            with pytest.raises(DataLoss):
                zstd.decompress(zstd.ZSTD, wrong, size, "it")


@pytest.mark.scenario(34)
def test_wrong_content_under_a_valid_seal_is_found_by_its_id() -> None:
    keys, key, salt = KeyRing(bytes(32), bytes(16)), bytes(32), bytes(32)
    claimed = blob_id(keys.id_keys[BlobType.CHUNK], b"right")
    entry = BlobEntry(claimed, BlobType.CHUNK, zstd.RAW, 5, 21)
    sealed = AESGCM(key).encrypt(blob_nonce(0), b"wrong", blob_aad(bytes(16), salt, 0, entry))
    with pytest.raises(DataLoss, match="not what its id says"):
        open_blob(AESGCM(key), keys, salt, 0, entry, sealed, "it")


@pytest.mark.scenario(36)
def test_a_frame_that_lies_about_its_size_costs_no_memory() -> None:
    """64 MiB that say they are 1,000 bytes: nothing of them is made."""
    bomb = bytearray(zstandard.ZstdCompressor().compress(bytes(64 << 20)))
    at = bomb.index((64 << 20).to_bytes(4, "little"))
    bomb[at : at + 4] = (1000).to_bytes(4, "little")
    tracemalloc.start()
    try:
        with pytest.raises(DataLoss, match="does not decompress"):
            zstd.decompress(zstd.ZSTD, bytes(bomb), 1000, "it")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
