"""The recovery key as people print and type it (docs/repository-format.md, section 3)."""

import hashlib
from typing import Final

from services.chassis.errors import InvalidInput

SECRET_BYTES: Final = 20
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {char: value for value, char in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_CHECK_CHARS: Final = 4
_CHARS: Final = SECRET_BYTES * 8 // 5 + _CHECK_CHARS
_GROUP: Final = 4


def print_recovery_key(secret: bytes) -> str:
    """Nine groups of four; ``secret`` is 20 random bytes."""
    number = int.from_bytes(secret, "big") << _CHECK_CHARS * 5 | _check(secret)
    text = "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(_CHARS)))
    return "-".join(text[at : at + _GROUP] for at in range(0, _CHARS, _GROUP))


def parse_recovery_key(text: str) -> bytes | None:
    """The secret; None when ``text`` does not look like a recovery key, InvalidInput when it is mistyped."""
    plain = "".join(text.split()).replace("-", "").upper()
    if len(plain) != _CHARS or any(char not in _VALUES for char in plain):
        return None
    number = 0
    for char in plain:
        number = number << 5 | _VALUES[char]
    secret = (number >> _CHECK_CHARS * 5).to_bytes(SECRET_BYTES, "big")
    if number & (1 << _CHECK_CHARS * 5) - 1 != _check(secret):
        if text.count("-") != _CHARS // _GROUP - 1:
            return None
        raise InvalidInput(
            "This looks like a recovery key, but its check characters do not fit.",
            reason="RECOVERY_KEY_MISTYPED",
            hint="Compare each group of four with the printed key.",
        )
    return secret


def _check(secret: bytes) -> int:
    digest = hashlib.sha256(b"xenkeep/1 recovery key" + secret).digest()
    return int.from_bytes(digest[:3], "big") >> 4
