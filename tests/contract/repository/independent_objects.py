"""Points, segments, checkpoints, plans, leases by docs/repository-format.md alone (sections 8 to 16)."""

import base64
import hashlib
import hmac
import re
import struct
from typing import Any

from tests.contract.repository.independent_blobs import KINDS, parse_entry, unpacked
from tests.contract.repository.independent_keys import (
    ID,
    Refused,
    clear_object,
    hkdf,
    json_object,
    number,
    opened,
    raw,
    require,
)

SEALED = {"point": 1, "index": 2, "checkpoint": 3, "plan": 4}
PACK = re.compile(r"packs/(?:data|meta)/([0-9a-f]{2})/\1[0-9a-f]{62}")


def parse_object(data: bytes, kind: str) -> tuple[dict[str, Any], int]:
    """What needs no key: the public part, and where the sealed body begins."""
    require(len(data) >= 160 and data[:9] == b"\x89XKSL\r\n\x1a\x01", "it is no sealed object")
    require(hashlib.sha256(data[:-32]).digest() == data[-32:], "its checksum is wrong")
    require(data[9] == SEALED[kind], "it is of another kind")
    require(data[11] == 0 and data[100:104] == bytes(4), "reserved bytes are set")
    public, body = struct.unpack("<I4xQ", data[96:112])
    require(public <= 1 << 20 and body <= 256 << 20, "its lengths cannot be")
    require(112 + public + 16 + 32 <= len(data), "its lengths cannot be")
    return clear_object(data[112 : 112 + public]), 112 + public


def open_object(data: bytes, name: str, kind: str, root: bytes, repository_id: bytes) -> bytes:
    """The body. ``name`` is the object's full name, ``index`` for index segments."""
    _, start = parse_object(data, kind)
    require(data[16:32] == repository_id, "it is of another repository")
    require(data[12:16] == b"\1\0\0\0", "it is of another root key")
    keys = hkdf(root, data[32:64], b"xenkeep/1 object " + kind.encode() + repository_id, 64)
    require(keys[32:] == data[64:96], "it was sealed with another key")
    packed = opened(keys[:32], bytes(12), data[start:-32], data[:start] + name.encode())
    return unpacked(data[10], packed, int.from_bytes(data[104:112], "little"))


def parse_segment(body: bytes) -> tuple[list[bytes], dict[str, list[bytes]]]:
    """Superseded segments; ids of the blobs of each pack."""
    at = 0

    def take(length: int) -> bytes:
        nonlocal at
        require(at + length <= len(body), "it ends too early")
        at += length
        return body[at - length : at]

    def count() -> int:
        return int.from_bytes(take(4), "little")

    require(count() == 1, "it is of another version")
    superseded = [take(32) for _ in range(count())]
    packs: dict[str, list[bytes]] = {}
    blobs = 0
    for _ in range(count()):
        sha256, size, kind, reserved, _, _, entries = struct.unpack("<32sQB3sI32sI", take(84))
        require(kind in KINDS.values() and reserved == bytes(3), "it lists an unknown kind of pack")
        require(size <= 128 << 20 and 1 <= entries <= 65_535, "it lists an impossible pack")
        blobs += entries
        require(blobs <= 1_000_000, "it lists too many blobs")
        folder = {code: name for name, code in KINDS.items()}[kind]
        name = f"packs/{folder}/{sha256.hex()[:2]}/{sha256.hex()}"
        packs[name] = [parse_entry(take(44))[0] for _ in range(entries)]
    require(at == len(body), "something follows")
    return superseded, packs


def parse_point(body: bytes) -> dict[str, Any]:
    point = json_object(body)
    for key in ("point", "method", "consistency", "level", "snapshot_time", "commit_time"):
        require(isinstance(point.get(key), str), f"{key} is missing")
    require("document" in point and len(point.get("disks", ())) <= 1024, "it lacks or has too much")
    for disk in point["disks"]:
        number(disk, "size_bytes", 0, 2**63 - 1)
        require(disk["root"] is None or len(raw(disk, "root", 32)) == 32, "a root is none")
    for stream in point["streams"].values():
        number(stream, "bytes", 0, 2**63 - 1)
        require(stream["list"] is None or len(raw(stream, "list", 32)) == 32, "a list is none")
    return point


def parse_plan(body: bytes, name: str) -> list[str]:
    """Names of the packs."""
    plan = json_object(body)
    number(plan, "version", 1, 1)
    require(f"prune/{plan.get('plan')}" == name, "it is another plan")
    packs = plan.get("packs")
    require(isinstance(packs, list) and all(PACK.fullmatch(str(each)) for each in packs), "it names no packs")
    assert isinstance(packs, list)
    return packs


def parse_checkpoint(body: bytes) -> dict[str, Any]:
    checkpoint = json_object(body)
    for key in ("transfer", "point"):
        require(ID.fullmatch(str(checkpoint.get(key))) is not None, f"{key} is no id")
    require(all(PACK.fullmatch(each) for each in checkpoint["unindexed"]), "it names no pack")
    for disk in checkpoint["disks"]:
        require(all(position.isdecimal() for position in disk["pages"]), "a position is none")
        for position, page in disk["pages"].items():
            require(page is None or len(raw(disk["pages"], position, 32)) == 32, "a page is none")
        try:
            base64.b64decode(disk["entries"], validate=True)
        except ValueError:
            raise Refused("its entries are garbled") from None
    return checkpoint


def parse_lease(data: bytes) -> list[str]:
    """The plans its writer knew."""
    lease = clear_object(data)
    require(lease.get("format") == "xenkeep-lease", "it is no lease")
    number(lease, "version", 1, 1)
    require(isinstance(lease.get("point"), str) and isinstance(lease.get("started_time"), str), "it lacks")
    plans = lease.get("plans")
    require(isinstance(plans, list) and all(isinstance(each, str) for each in plans), "its plans are none")
    assert isinstance(plans, list)
    return plans


def is_revocation(data: bytes, name: str, root: bytes, repository_id: bytes) -> bool:
    mac = hmac.digest(hkdf(root, repository_id, b"xenkeep/1 revocation"), name.encode(), "sha256")
    return data == b"XKREVOK1" + repository_id + bytes(8) + mac
