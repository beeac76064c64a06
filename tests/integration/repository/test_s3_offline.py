"""A repository in a bucket, over TLS with an authority of one's own, restored with no service running."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trustme

from services.chassis.errors import FailedPrecondition
from services.mover.repository.stores.s3 import S3Store
from tests.support.seaweed import Seaweed
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import MIB, PASSPHRASE, back_up, new_repository, noise

CONTENT = noise(2 * MIB + 512)


@pytest.fixture
def tls_port(seaweed: Seaweed, tmp_path: Path) -> Iterator[int]:
    """TLS in front of SeaweedFS; ``ca.pem`` in ``tmp_path`` is its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(raw: socket.socket) -> None:
        with (
            closing(raw),
            suppress(OSError),
            context.wrap_socket(raw, server_side=True) as client,
            socket.create_connection(("127.0.0.1", seaweed.port)) as server,
        ):
            back = threading.Thread(target=pump, args=(server, client))
            back.start()
            pump(client, server)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(raw,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()


def test_a_bucket_is_restored_by_the_command_line_alone(
    seaweed: Seaweed, tls_port: int, tmp_path: Path
) -> None:
    place = seaweed.place(tmp_path.name, endpoint=f"https://127.0.0.1:{tls_port}")
    store = S3Store(place, credentials=seaweed.credentials, ca=tmp_path / "ca.pem")
    with new_repository(store, tmp_path / "cache") as repository:
        back_up(repository, "point", CONTENT)
    (tmp_path / "key").write_text(PASSPHRASE)
    command = [
        sys.executable,
        "-c",
        "from xenkeep.cli.main import main; main()",
        "restore",
        "--json",
        "point",
    ]
    command += ["--repository", place.url, "--to-directory", str(tmp_path / "out")]
    command += ["--secret-file", str(tmp_path / "key")]
    environment = {
        "PATH": os.environ["PATH"],
        "XENKEEP_S3_CREDENTIALS_DIR": str(seaweed.credentials),
        "XENKEEP_S3_CA": str(tmp_path / "ca.pem"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert 0 == done.returncode, done.stderr
    assert "point" == json.loads(done.stdout)["restored"]["point"]
    assert CONTENT == (tmp_path / "out" / "disk-0.raw").read_bytes()


def test_a_server_of_another_authority_is_not_talked_to(
    seaweed: Seaweed, tls_port: int, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    place = seaweed.place(tmp_path.name, endpoint=f"https://127.0.0.1:{tls_port}")
    store = S3Store(place, credentials=seaweed.credentials, ca=tmp_path / "other.pem")
    with pytest.raises(FailedPrecondition) as caught:
        store.get("x")
    assert "STORE_NOT_TRUSTED" == caught.value.reason
