"""Certificates for tests, made by the project's own authority."""

from pathlib import Path

from services.chassis.pki import create_authority, issue
from services.chassis.tls import TlsFiles


def tls_for(directory: Path, name: str) -> TlsFiles:
    """Files of a certificate for ``name`` from the authority in ``directory``, which is made when missing."""
    ca = create_authority(directory)
    cert, key = issue(directory, name)
    return TlsFiles(ca, cert, key)
