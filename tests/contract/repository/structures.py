"""Every structure of the format by name: what decodes it, in the product and in the reader of the document.

Both take the bytes and raise when they are not what the format allows. Structures that only a key opens are
given as what is inside the seal; keys, ids and names are those of ``test_vectors``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.chassis.errors import DataLoss, FailedPrecondition, InvalidInput
from services.mover.repository import checkpoint
from services.mover.repository.format import canonical, zstd
from services.mover.repository.format.blob import BlobEntry
from services.mover.repository.format.envelope import parse_envelope
from services.mover.repository.format.epoch import EpochRecord, decode_epoch_object
from services.mover.repository.format.header import parse_header
from services.mover.repository.format.lease import decode_lease, is_revocation
from services.mover.repository.format.pack import FOOTER_BYTES, HEADER_BYTES, PackFooter, PackHeader
from services.mover.repository.format.page import decode_page
from services.mover.repository.format.plan import decode_plan
from services.mover.repository.format.point import decode_body
from services.mover.repository.format.recovery_key import parse_recovery_key
from services.mover.repository.format.segment import decode_segment
from services.mover.repository.format.slot import parse_slot
from services.mover.repository.format.stream import decode_list
from services.mover.repository.keys import KeyRing
from tests.contract.repository import independent_blobs as blobs
from tests.contract.repository import independent_keys as keys
from tests.contract.repository import independent_objects as objects

ROOT: Final = bytes(range(32))
U: Final = bytes(range(16))
PLAN: Final = "prune/" + "ab" * 16
POINT: Final = "points/p"
BLOCKS_PER_CHUNK: Final = 16
REFUSALS: Final = (DataLoss, FailedPrecondition, InvalidInput, keys.Refused)


@dataclass(frozen=True)
class Structure:
    """``text``: the vector is text, not hexadecimal."""

    product: Callable[[bytes], object]
    document: Callable[[bytes], object]
    text: bool = False


def _true(value: object) -> None:
    keys.require(bool(value), "it is none")


def _pack_header(data: bytes) -> None:
    header = PackHeader.decode(data[:HEADER_BYTES], "it")
    EpochRecord.decode(header.epoch_record)
    keys.require(header.repository_id == U, "it is of another repository")


def _sealed(kind: str, name: str) -> Structure:
    def product(data: bytes) -> None:
        envelope = parse_envelope(data, kind, name)
        keys.require((envelope.repository_id, envelope.generation) == (U, 1), "it is of another root key")
        envelope.open(ROOT, name, name)

    return Structure(product, lambda data: objects.open_object(data, name, kind, ROOT, U))


def _frame(data: bytes) -> bytes:
    """As a blob of 1,000 bytes."""
    return blobs.unpacked(1, data, 1000)


STRUCTURES: Final = {
    "header": Structure(
        lambda data: parse_header(canonical.decode_clear(data, "it")).proven(ROOT),
        lambda data: keys.require_mac(keys.clear_object(data), ROOT),
        text=True,
    ),
    "header without a key": Structure(
        lambda data: parse_header(canonical.decode_clear(data, "it")),
        lambda data: keys.parse_header(keys.clear_object(data)),
        text=True,
    ),
    "passphrase slot": Structure(
        lambda data: parse_slot(data, "passphrase-1"),
        lambda data: keys.parse_slot(data, "passphrase-1"),
        text=True,
    ),
    "recovery slot": Structure(
        lambda data: _true(parse_slot(data, "recovery-1").open(bytes(range(20)))),
        lambda data: keys.open_slot(keys.parse_slot(data, "recovery-1"), RECOVERY_KEY),
        text=True,
    ),
    "recovery key": Structure(
        lambda data: _true(parse_recovery_key(data.decode())),
        lambda data: keys.recovery_secret(data.decode()),
        text=True,
    ),
    "epoch": Structure(
        lambda data: decode_epoch_object(data, "it").data_key(ROOT, U, "it"),
        lambda data: keys.data_key(ROOT, U, keys.parse_epoch(data)),
    ),
    "pack header": Structure(_pack_header, lambda data: blobs.parse_pack_header(data[:168], U)),
    "pack footer": Structure(
        lambda data: PackFooter.decode(data[-FOOTER_BYTES:], len(data), "it"),
        lambda data: blobs.parse_pack_footer(data[-32:], len(data)),
    ),
    "directory entry": Structure(lambda data: BlobEntry.decode(data, "it"), blobs.parse_entry),
    "compressed blob": Structure(lambda data: zstd.decompress(zstd.ZSTD, data, 1000, "it"), _frame),
    "leaf page": Structure(
        lambda data: decode_page(data, BLOCKS_PER_CHUNK, "it"),
        lambda data: blobs.parse_page(data, BLOCKS_PER_CHUNK),
    ),
    "list": Structure(lambda data: decode_list(data, "it"), blobs.parse_list),
    "segment": Structure(lambda data: decode_segment(data, "it"), objects.parse_segment),
    "point": _sealed("point", POINT),
    "point without a key": Structure(
        lambda data: parse_envelope(data, "point", "it"), lambda data: objects.parse_object(data, "point")
    ),
    "epoch without a key": Structure(lambda data: decode_epoch_object(data, "it"), keys.parse_epoch),
    "sealed segment": _sealed("index", "index"),
    "sealed checkpoint": _sealed("checkpoint", "checkpoints/t/00000001"),
    "sealed plan": _sealed("plan", PLAN),
    "point body": Structure(lambda data: decode_body(data, "it"), objects.parse_point, text=True),
    "checkpoint body": Structure(
        lambda data: checkpoint._decode(data, 1 << 20, "it"), objects.parse_checkpoint, text=True
    ),
    "plan body": Structure(
        lambda data: decode_plan(data, PLAN), lambda data: objects.parse_plan(data, PLAN), text=True
    ),
    "lease": Structure(lambda data: decode_lease(data, "it"), objects.parse_lease, text=True),
    "revocation": Structure(
        lambda data: _true(is_revocation(KeyRing(ROOT, U).revocation_key, U, POINT, data)),
        lambda data: _true(objects.is_revocation(data, POINT, ROOT, U)),
    ),
}
"""``leaf page`` also decodes the vectors of other pages."""
RECOVERY_KEY: Final = "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-7R86"
