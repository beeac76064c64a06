"""Key slots: the root key under a passphrase or a recovery key (docs/repository-format.md, section 3)."""

import unicodedata
from dataclasses import dataclass
from typing import Any, Final

from argon2.exceptions import HashingError
from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis.errors import InvalidInput, ResourceExhausted
from services.mover.repository.format import canonical
from services.mover.repository.format.crypto import KEY_BYTES, key_and_commitment, same, seal
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.header import UnprovenHeader, parse_header
from services.mover.repository.format.names import FORMAT_VERSION, is_id

_FORMAT: Final = "xenkeep-key-slot"
PASSPHRASE, RECOVERY = "passphrase", "recovery"
MIN_PASSPHRASE_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What a guess at the passphrase costs (RFC 9106)."""

    time: int = 3
    memory_kib: int = 256 << 10
    lanes: int = 4

    @property
    def work(self) -> int:
        return self.time * self.memory_kib

    def to_json(self) -> dict[str, Any]:
        return {"lanes": self.lanes, "memory_kib": self.memory_kib, "time": self.time}


@dataclass(frozen=True, slots=True)
class Slot:
    """A decoded slot; ``clear`` is what its wrap authenticates."""

    slot_id: str
    kind: str
    label: str
    generation: int
    header: UnprovenHeader
    salt: bytes
    cost: Argon2Cost | None
    commitment: bytes
    nonce: bytes
    ciphertext: bytes
    clear: bytes

    def open(self, secret: str | bytes) -> bytes | None:
        """The root key, or None when ``secret`` (a passphrase, or a recovery secret) is not this slot's.

        Raises DataLoss when the slot is damaged, ResourceExhausted when there is not the memory to try.
        """
        if isinstance(secret, str):
            stretched = self._stretched(secret, self.cost) if self.cost else None
        else:
            stretched = secret if self.kind == RECOVERY else None
        if stretched is None:
            return None
        key, commitment = _keys(stretched, self.salt, self.header.header.repository_id)
        if not same(commitment, self.commitment):
            return None
        try:
            return AESGCM(key).decrypt(self.nonce, self.ciphertext, self.clear)
        except InvalidTag:
            raise damaged(f"keys/{self.slot_id}", "its seal is broken") from None

    def _stretched(self, passphrase: str, cost: Argon2Cost) -> bytes:
        try:
            return stretch_passphrase(passphrase, self.salt, cost)
        except HashingError as error:
            raise ResourceExhausted(
                f"The key slot {self.slot_id} takes {cost.memory_kib >> 10} MiB of memory to try: {error}.",
                reason="KEY_SLOT_TOO_COSTLY",
                hint="Use a machine with more memory, or the recovery key.",
            ) from error


def make_slot(
    *,
    slot_id: str,
    kind: str,
    label: str,
    created_time: str,
    generation: int,
    root: bytes,
    header_json: dict[str, Any],
    secret: str | bytes,
    cost: Argon2Cost,
    salt: bytes,
    nonce: bytes,
) -> bytes:
    """The slot object. ``salt`` is 16 and ``nonce`` 12 fresh random bytes."""
    kdf: dict[str, Any]
    if isinstance(secret, str):
        stretched = stretch_passphrase(secret, salt, cost)
        kdf = {"name": "argon2id", "salt": salt.hex(), **cost.to_json()}
    else:
        stretched = secret
        kdf = {"name": "hkdf", "salt": salt.hex()}
    key, commitment = _keys(stretched, salt, bytes.fromhex(header_json["id"]))
    clear = {
        "commitment": commitment.hex(),
        "created_time": created_time,
        "format": _FORMAT,
        "generation": generation,
        "kdf": kdf,
        "kind": kind,
        "label": label,
        "repository": header_json,
        "slot": slot_id,
        "version": FORMAT_VERSION,
    }
    wrap = {"ciphertext": seal(key, nonce, root, canonical.encode(clear)).hex(), "nonce": nonce.hex()}
    return canonical.encode(clear | {"wrap": wrap})


def parse_slot(data: bytes, slot_id: str) -> Slot:
    """Raises DataLoss naming the slot when it is damaged or bears another id."""
    what = f"keys/{slot_id}"
    if not is_id(slot_id):
        raise damaged(what, "its name is none of a key slot")
    value = canonical.decode_clear(data, what)
    fields = canonical.Fields(value, what)
    kind, kdf, wrap = fields.text("kind"), fields.inner("kdf"), fields.inner("wrap")
    if (fields.text("format"), fields.number("version"), fields.text("slot")) != (
        _FORMAT,
        FORMAT_VERSION,
        slot_id,
    ):
        raise damaged(what, "it is not this key slot")
    cost = None
    if (kind, kdf.text("name")) == (PASSPHRASE, "argon2id"):
        lanes = kdf.number("lanes", 1, 64)
        cost = Argon2Cost(kdf.number("time", 1, 64), kdf.number("memory_kib", 8 * lanes, 4 << 20), lanes)
    elif (kind, kdf.text("name")) != (RECOVERY, "hkdf"):
        raise damaged(what, f"its kind {kind!r} is unknown")
    return Slot(
        slot_id,
        kind,
        fields.text("label").encode(errors="replace").decode(),  # half a surrogate pair is no text
        fields.number("generation", 1, 2**32 - 1),
        parse_header(fields.mapping("repository"), what),
        kdf.raw("salt", 16),
        cost,
        fields.raw("commitment", 32),
        wrap.raw("nonce", 12),
        wrap.raw("ciphertext", 48),
        canonical.encode({key: item for key, item in value.items() if key != "wrap"}),
    )


def stretch_passphrase(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
    """Argon2id of the NFC form, so that one passphrase typed on two keyboards is one passphrase."""
    return hash_secret_raw(
        unicodedata.normalize("NFC", passphrase).encode(),
        salt,
        time_cost=cost.time,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=KEY_BYTES,
        type=Type.ID,
        version=ARGON2_VERSION,
    )


def checked_passphrase(passphrase: str) -> str:
    """Raises InvalidInput when it is too short to protect anything."""
    if len(passphrase) < MIN_PASSPHRASE_CHARS:
        raise InvalidInput(
            f"The passphrase has fewer than {MIN_PASSPHRASE_CHARS} characters.",
            reason="PASSPHRASE_TOO_SHORT",
            hint="Use several words.",
        )
    return passphrase


def _keys(stretched: bytes, salt: bytes, repository_id: bytes) -> tuple[bytes, bytes]:
    return key_and_commitment(stretched, salt, b"xenkeep/1 slot " + repository_id)
