"""Bytes at rest that may hold key material (a VM's configuration holds its TPM's secrets)."""

import base64

from services.chassis.config import Secret
from services.chassis.sealing import Sealer


def seal(sealer: Sealer, data: bytes, context: str) -> bytes:
    """``data`` as bytes that may be stored."""
    return sealer.seal(Secret(base64.b64encode(data).decode()), context)


def unseal(sealer: Sealer, sealed: bytes, context: str) -> bytes:
    """Raises DataLoss SECRET_UNREADABLE."""
    return base64.b64decode(sealer.open(sealed, context).reveal())
