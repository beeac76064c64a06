from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from services.notifier.adapters.channel_files import ChannelFiles
from tests.contract.notifier.rsyslog_peer import Rsyslog, rsyslog_peer


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def pki_dir(tmp_path: Path, authority: trustme.CA) -> Path:
    """A directory with ca.pem, cert.pem and key.pem for localhost, and a stranger's authority."""
    directory = tmp_path / "pki"
    directory.mkdir()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server.private_key_pem.write_to_path(str(directory / "key.pem"))
    for blob in server.cert_chain_pems:
        blob.write_to_path(str(directory / "cert.pem"), append=True)
    trustme.CA().cert_pem.write_to_path(str(directory / "stranger.pem"))
    return directory


@pytest.fixture
def channel_files(pki_dir: Path) -> ChannelFiles:
    """The files channels may name: the authorities, and the password `hunter2` in password.txt."""
    (pki_dir / "password.txt").write_text("hunter2\n")
    return ChannelFiles(pki_dir)


@pytest.fixture
async def rsyslog(pki_dir: Path) -> AsyncIterator[Rsyslog]:
    async with rsyslog_peer(pki_dir) as peer:
        yield peer
