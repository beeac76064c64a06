"""Header, key slots, epochs and features by docs/repository-format.md alone (sections 2 to 5 and 12).

Nothing of the product is imported, here and in the other ``independent_*`` modules: this proves that the
document suffices, and that product and document agree. What the document forbids is ``Refused``.
"""

import hashlib
import hmac
import json
import re
import struct
import unicodedata
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEADER = "xenkeep-repository.json"
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
KNOWN_WRITER_FEATURES = {"prune"}
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_DEEPEST = 8


class Refused(Exception):
    """The document says that a reader refuses this."""


def require(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(ikm)


def opened(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except (InvalidTag, ValueError):
        raise Refused("its seal is broken") from None


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refused("it is no JSON") from None
    require(isinstance(value, dict), "it is no object")
    assert isinstance(value, dict)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def clear_object(data: bytes) -> dict[str, Any]:
    """What no seal protects: canonical, and not nested deeper than eight levels."""
    value = json_object(data)
    require(canonical(value) == data, "it is not canonical")

    def depth(item: object) -> int:
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        return 1 + max(map(depth, inner), default=-1)

    require(depth(value) <= _DEEPEST, "it is nested too deep")
    return value


def raw(value: dict[str, Any], key: str, length: int) -> bytes:
    text = value.get(key)
    require(isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text) is not None, key)
    return bytes.fromhex(str(text))


def number(value: dict[str, Any], key: str, low: int, high: int) -> int:
    found = value.get(key)
    require(type(found) is int and low <= found <= high, f"{key} is out of range")
    assert isinstance(found, int)
    return found


def parse_header(value: dict[str, Any]) -> bytes:
    """The repository id."""
    require(value.get("format") == "xenkeep-repository", "it is no header")
    number(value, "version", 1, 1)
    require(value["features"]["mandatory"] == [], "it has an unknown mandatory feature")
    chunk = number(value, "chunk_bytes", 65_536, 4_194_304)
    require(chunk & (chunk - 1) == 0, "a chunk is no power of two")
    number(value, "pack_bytes", chunk, 67_108_864)
    require(value.get("block_bytes") == 65_536, "its blocks are others")
    raw(value, "mac", 32)
    return raw(value, "id", 16)


def require_mac(header: dict[str, Any], root: bytes) -> None:
    plain = {key: value for key, value in header.items() if key != "mac"}
    key = hkdf(root, parse_header(header), b"xenkeep/1 header mac")
    require(hmac.digest(key, canonical(plain), "sha256") == raw(header, "mac", 32), "its MAC is wrong")


def refuse_features(names: list[str], *, writing: bool = False) -> None:
    """Every flag is in a name under ``features/``."""
    for name in names:
        kind, _, flag = name.removeprefix("features/").partition(".")
        require(kind != "mandatory", f"{flag} is unknown")
        require(not writing or kind != "writer" or flag in KNOWN_WRITER_FEATURES, f"{flag} is unknown")


def parse_slot(data: bytes, slot_id: str) -> dict[str, Any]:
    require(ID.fullmatch(slot_id) is not None, "its name is no id")
    require(len(data) <= 64 << 10, "it is too large")
    slot = clear_object(data)
    require(slot.get("format") == "xenkeep-key-slot", "it is no key slot")
    number(slot, "version", 1, 1)
    require(slot.get("slot") == slot_id, "it is another slot")
    kdf, wrap = slot.get("kdf"), slot.get("wrap")
    require(isinstance(kdf, dict) and isinstance(wrap, dict), "it lacks a part")
    assert isinstance(kdf, dict) and isinstance(wrap, dict)
    kind = slot.get("kind"), kdf.get("name")
    require(kind in (("passphrase", "argon2id"), ("recovery", "hkdf")), "it is of an unknown kind")
    if kdf["name"] == "argon2id":
        lanes = number(kdf, "lanes", 1, 64)
        number(kdf, "time", 1, 64)
        number(kdf, "memory_kib", 8 * lanes, 4_194_304)
    number(slot, "generation", 1, 2**32 - 1)
    parse_header(slot["repository"])
    for value, key, length in (
        (kdf, "salt", 16),
        (slot, "commitment", 32),
        (wrap, "nonce", 12),
        (wrap, "ciphertext", 48),
    ):
        raw(value, key, length)
    return slot


def recovery_secret(printed: str) -> bytes:
    text = printed.upper().replace("-", "").replace("O", "0").replace("I", "1").replace("L", "1")
    value = 0
    for char in "".join(text.split()):
        require(char in _ALPHABET, "it is no recovery key")
        value = value << 5 | _ALPHABET.index(char)
    secret = (value >> 20).to_bytes(20, "big")
    digest = hashlib.sha256(b"xenkeep/1 recovery key" + secret).digest()
    require(value & 0xFFFFF == int.from_bytes(digest[:3], "big") >> 4, "its check characters are wrong")
    return secret


def open_slot(slot: dict[str, Any], secret: str) -> bytes:
    """The root key."""
    kdf, wrap = slot["kdf"], slot["wrap"]
    salt = raw(kdf, "salt", 16)
    if slot["kind"] == "recovery":
        stretched = recovery_secret(secret)
    else:
        password = unicodedata.normalize("NFC", secret).encode()
        stretched = hash_secret_raw(
            password, salt, kdf["time"], kdf["memory_kib"], kdf["lanes"], 32, Type.ID, 0x13
        )
    info = b"xenkeep/1 slot " + parse_header(slot["repository"])
    keys = hkdf(stretched, salt, info, 64)
    require(keys[32:] == raw(slot, "commitment", 32), "it is not this secret")
    aad = canonical({key: value for key, value in slot.items() if key != "wrap"})
    return opened(keys[:32], raw(wrap, "nonce", 12), raw(wrap, "ciphertext", 48), aad)


def parse_epoch_record(record: bytes) -> tuple[int, int]:
    """Epoch and root generation."""
    epoch, generation = struct.unpack("<II", record[:8])
    require(len(record) == 68 and 1 <= epoch <= 99_999_999 and generation > 0, "there is no such epoch")
    return epoch, generation


def data_key(root: bytes, repository_id: bytes, record: bytes) -> bytes:
    parse_epoch_record(record)
    aad = b"xenkeep/1 epoch " + repository_id + record[:8]
    return opened(hkdf(root, repository_id, b"xenkeep/1 epoch wrap"), record[8:20], record[20:], aad)


def parse_epoch(data: bytes) -> bytes:
    """The record."""
    require(len(data) == 108 and data[:8] == b"XKEPOCH1", "it is no epoch")
    require(hashlib.sha256(data[:76]).digest() == data[76:], "its checksum is wrong")
    parse_epoch_record(data[8:76])
    return data[8:76]
