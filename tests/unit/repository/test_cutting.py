"""Streams are cut as docs/repository-format.md says, however their bytes arrive."""

import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.mover.repository.cutting import CutSizes, Cutter
from tests.unit.repository.world import KIB, MIB, noise

KEY = bytes(range(16))
SMALL = CutSizes(256, 4 * KIB, 16 * KIB)


def cut(data: bytes, key: bytes = KEY, sizes: CutSizes | None = None, step: int = MIB) -> list[bytes]:
    cutter = Cutter(key, sizes)
    pieces = [piece for at in range(0, len(data), step) for piece in cutter.feed(data[at : at + step])]
    return [*pieces, *cutter.rest()]


def cut_by_the_book(data: bytes) -> list[bytes]:
    """The sentence of the document, one position at a time."""
    aes = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    pieces = []
    while len(data) > SMALL.least:
        end = SMALL.least
        while end < min(len(data), SMALL.most):
            mark = int.from_bytes(aes.update(data[end - 16 : end])[:4], "big")
            if mark < (2**32 // (4 * 4 * KIB) if end < SMALL.normal else 2**32 // KIB):
                break
            end += 1
        pieces.append(data[:end])
        data = data[end:]
    return [*pieces, data] if data else pieces


@pytest.mark.parametrize("seed", range(4))
def test_cuts_are_where_the_document_says(seed: int) -> None:
    data = noise(150 * KIB, seed) + bytes(40 * KIB) + noise(10 * KIB, seed + 1)
    assert cut(data, sizes=SMALL) == cut_by_the_book(data)


@pytest.mark.parametrize("length", [0, 1, 16, 255, 256, 257, 16 * KIB, 16 * KIB + 1])
def test_short_streams_and_zeros_are_cut_as_the_document_says(length: int) -> None:
    assert cut(bytes(length), sizes=SMALL) == cut_by_the_book(bytes(length))


def test_how_the_bytes_arrive_does_not_matter() -> None:
    data = noise(9 * MIB + 12_345)
    whole = cut(data)
    assert b"".join(whole) == data
    assert cut(data, step=len(data)) == whole
    steps = random.Random(1)
    cutter, pieces, at = Cutter(KEY), list[bytes](), 0
    while at < len(data):
        length = steps.choice([1, 15, 16, 17, 1000, 300 * KIB, 5 * MIB])
        pieces += cutter.feed(data[at : at + length])
        at += length
    assert [*pieces, *cutter.rest()] == whole


def test_an_insertion_changes_only_the_pieces_beside_it() -> None:
    data = noise(24 * MIB)
    before = cut(data)
    after = cut(data[: 10 * MIB] + b"inserted" + data[10 * MIB :])
    assert len(set(after) - set(before)) <= 2


def test_pieces_keep_to_their_sizes_and_their_mean() -> None:
    pieces = cut(noise(48 * MIB))
    assert all(256 * KIB <= len(piece) <= 4 * MIB for piece in pieces[:-1])
    assert MIB // 2 < 48 * MIB / len(pieces) < 2 * MIB


def test_another_key_cuts_elsewhere() -> None:
    data = noise(16 * MIB)
    assert not set(cut(data)[:-1]) & set(cut(data, key=bytes(16))[:-1])
