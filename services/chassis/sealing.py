"""Secrets at rest: readable only with the key file of the service that wrote them."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.chassis import files
from services.chassis.config import Secret
from services.chassis.errors import DataLoss

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Sealer:
    """AES-256-GCM under a random key kept in ``path`` (mode 0600), made when it is missing.

    ``context`` says what a secret belongs to; sealed bytes moved to another row do not open.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataLoss SEALING_KEY_INVALID when the file holds no key."""
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_new(path, os.urandom(_KEY_BYTES))
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise DataLoss(
                f"{path} does not hold a sealing key.",
                reason="SEALING_KEY_INVALID",
                hint="Restore the file; without it the secrets it sealed have to be entered again.",
            )
        self._path = path
        self._cipher = AESGCM(key)

    def seal(self, secret: Secret, context: str) -> bytes:
        """``secret`` as bytes that may be stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.reveal().encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> Secret:
        """Raises DataLoss SECRET_UNREADABLE when it was sealed with another key or for something else."""
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise DataLoss(
                f"The stored secret of {context} cannot be read with {self._path}.",
                reason="SECRET_UNREADABLE",
                hint="Restore the sealing key file that belongs to this database, or enter the secret again.",
            ) from error
        return Secret(plain.decode())
