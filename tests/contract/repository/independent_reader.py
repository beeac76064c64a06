"""Reads a disk from a repository by docs/repository-format.md alone.

Nothing of the product is imported: this proves that the document suffices, and that product and document
agree.
"""

import hashlib
import hmac
import json
import struct

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TYPES = {1: b"chunk", 2: b"group", 3: b"page", 4: b"piece", 5: b"list"}
BLOCK = 65536


def read_disk(objects: dict[str, bytes], recovery_key: str, point_id: str, disk_id: str) -> bytes:
    """The whole image, from packs, one key slot, the header and the point."""
    header = json.loads(objects["xenkeep-repository.json"])
    repository_id = bytes.fromhex(header["id"])
    root = _open_slot(json.loads(objects["keys/recovery-1"]), recovery_key, repository_id)
    mac_key = _hkdf(root, repository_id, b"xenkeep/1 header mac")
    plain = {key: value for key, value in header.items() if key != "mac"}
    assert hmac.digest(mac_key, _canonical(plain), "sha256").hex() == header["mac"]
    blobs: dict[bytes, bytes] = {}
    for name, data in objects.items():
        if name.startswith("packs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
            blobs |= _read_pack(data, root, repository_id)
    point = json.loads(_open_object(objects[f"points/{point_id}"], f"points/{point_id}", b"point", root))
    disk = next(disk for disk in point["disks"] if disk["disk"] == disk_id)
    chunk_bytes: int = header["chunk_bytes"]
    chunks = -(-disk["size_bytes"] // chunk_bytes)
    levels = 1
    while 1024**levels < chunks:
        levels += 1
    image = bytearray(chunks * chunk_bytes)
    if disk["root"] is not None:
        _read_page(blobs, bytes.fromhex(disk["root"]), levels - 1, 0, image, chunk_bytes)
    return bytes(image[: disk["size_bytes"]])


def _open_slot(slot: dict[str, object], recovery_key: str, repository_id: bytes) -> bytes:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = 0
    for char in recovery_key.replace("-", ""):
        number = number << 5 | alphabet.index(char)
    secret = (number >> 20).to_bytes(20, "big")
    digest = hashlib.sha256(b"xenkeep/1 recovery key" + secret).digest()
    assert number & 0xFFFFF == int.from_bytes(digest[:3], "big") >> 4
    kdf, wrap = slot["kdf"], slot["wrap"]
    assert isinstance(kdf, dict)
    assert isinstance(wrap, dict)
    keys = _hkdf(secret, bytes.fromhex(kdf["salt"]), b"xenkeep/1 slot " + repository_id, 64)
    assert keys[32:].hex() == slot["commitment"]
    aad = _canonical({key: value for key, value in slot.items() if key != "wrap"})
    return AESGCM(keys[:32]).decrypt(bytes.fromhex(wrap["nonce"]), bytes.fromhex(wrap["ciphertext"]), aad)


def _read_pack(data: bytes, root: bytes, repository_id: bytes) -> dict[bytes, bytes]:
    header, footer = data[:168], data[-32:]
    assert header[:9] == b"\x89XKPK\r\n\x1a\x01"
    assert header[16:32] == repository_id
    assert footer[24:] == b"XKPKEND1"
    salt, record = header[32:64], header[64:132]
    wrap_key = _hkdf(root, repository_id, b"xenkeep/1 epoch wrap")
    data_key = AESGCM(wrap_key).decrypt(
        record[8:20], record[20:], b"xenkeep/1 epoch " + repository_id + record[:8]
    )
    keys = _hkdf(data_key, salt, b"xenkeep/1 pack " + header[9:10] + repository_id, 64)
    assert keys[32:] == header[132:164]
    cipher = AESGCM(keys[:32])
    blob_bytes, directory_bytes, count = struct.unpack("<QII", footer[:16])
    assert 168 + blob_bytes + directory_bytes + 32 == len(data)
    sealed = data[168 + blob_bytes : -32]
    directory = cipher.decrypt(b"\xff" * 4 + bytes(8), sealed, b"xenkeep/1 directory" + header + footer)
    assert len(directory) == 44 * count
    blobs = {}
    at = 168
    for slot in range(count):
        entry = directory[slot * 44 : slot * 44 + 44]
        id_, type_, compression, plain, stored = struct.unpack("<32sBBxxII", entry)
        number = slot.to_bytes(4, "little")
        aad = b"xenkeep/1 blob" + repository_id + salt + number + entry
        packed = cipher.decrypt(number + bytes(8), data[at : at + stored], aad)
        content = zstandard.ZstdDecompressor().decompress(packed) if compression else packed
        assert len(content) == plain
        id_key = _hkdf(root, repository_id, b"xenkeep/1 id " + TYPES[type_])
        assert blake3(content, key=id_key).digest() == id_
        blobs[id_] = content
        at += stored
    return blobs


def _open_object(data: bytes, name: str, kind: bytes, root: bytes) -> bytes:
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    repository_id, salt, commitment = data[16:32], data[32:64], data[64:96]
    public_bytes = int.from_bytes(data[96:100], "little")
    keys = _hkdf(root, salt, b"xenkeep/1 object " + kind + repository_id, 64)
    assert keys[32:] == commitment
    clear = data[: 112 + public_bytes]
    body = AESGCM(keys[:32]).decrypt(bytes(12), data[len(clear) : -32], clear + name.encode())
    return zstandard.ZstdDecompressor().decompress(body) if data[10] else body


def _page_items(
    blobs: dict[bytes, bytes], page_id: bytes
) -> dict[int, bytes | tuple[bytes | None, list[bytes]]]:
    page = blobs[page_id]
    form, level = page[0], page[1]
    count = int.from_bytes(page[4:6], "little")
    items = _page_items(blobs, page[8:40]) if form == 2 else {}
    at = 40 if form == 2 else 8
    for number in range(count):
        index = number
        if form == 2:
            index = int.from_bytes(page[at : at + 2], "little")
            at += 2
        tag = page[at]
        at += 1
        if tag == 0:
            items.pop(index, None)
            continue
        if level:
            items[index] = page[at : at + 32]
            at += 32
            continue
        chunk = None
        if tag & 1:
            chunk = page[at : at + 32]
            at += 32
        patches = []
        for _ in range(tag >> 1):
            length = 42 if page[at] else 9
            patches.append(page[at : at + length])
            at += length
        items[index] = (chunk, patches)
    assert at == len(page)
    return items


def _read_page(
    blobs: dict[bytes, bytes], page_id: bytes, level: int, position: int, image: bytearray, chunk_bytes: int
) -> None:
    for index, item in _page_items(blobs, page_id).items():
        here = position * 1024 + index
        if isinstance(item, bytes):
            _read_page(blobs, item, level - 1, here, image, chunk_bytes)
            continue
        chunk, patches = item
        start = here * chunk_bytes
        if start >= len(image):
            continue
        if chunk is not None:
            image[start : start + chunk_bytes] = blobs[chunk]
        for patch in patches:
            source = patch[9] * BLOCK if patch[0] else 0
            for bit in range(64):
                if not int.from_bytes(patch[1:9], "little") >> bit & 1:
                    continue
                block = blobs[patch[10:42]][source : source + BLOCK] if patch[0] else bytes(BLOCK)
                image[start + bit * BLOCK : start + (bit + 1) * BLOCK] = block
                source += BLOCK


def _hkdf(ikm: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
