"""nbdkit as a host's NBD server: TLS required, a fresh certificate, a disk image that is only read."""

import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from services.mover.adapters.nbd_endpoint import NbdEndpoint

ALL_CERTIFICATES_BY = trustme.CA()


@dataclass
class Certificate:
    """A server's key and certificate, as PEM."""

    key: str
    certificate: str

    @classmethod
    def new(cls, name: str = "localhost") -> "Certificate":
        issued = ALL_CERTIFICATES_BY.issue_cert(name)
        return cls(issued.private_key_pem.bytes().decode(), issued.cert_chain_pems[0].bytes().decode())

    def write_to(self, directory: Path) -> None:
        """In the files that nbdkit expects."""
        directory.mkdir(exist_ok=True)
        ALL_CERTIFICATES_BY.cert_pem.write_to_path(str(directory / "ca-cert.pem"))
        (directory / "server-key.pem").write_text(self.key)
        (directory / "server-cert.pem").write_text(self.certificate)


@dataclass
class Nbdkit:
    """One running server. ``kill`` it, or leave the ``with`` block."""

    image: Path
    host_id: str = "host-1"
    options: Sequence[str] = ()
    tls: bool = True
    process: subprocess.Popen[bytes] = field(init=False)
    endpoint: NbdEndpoint = field(init=False)

    def __enter__(self) -> "Nbdkit":
        certificate = Certificate.new()
        directory = self.image.parent / f"tls-{self.host_id}"
        certificate.write_to(directory)
        tls = ["--tls=require", f"--tls-certificates={directory}"] if self.tls else ["--tls=off"]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.endpoint = NbdEndpoint(
                host_id=self.host_id,
                address="127.0.0.1",
                port=listener.getsockname()[1],
                export_name="/disk?session_id=secret",
                certificate_pem=certificate.certificate if self.tls else "",
                server_name="localhost",
            )
            given = listener.fileno()
            # Socket activation: the port is known and listening before the server runs.
            as_third = f"exec 3<&{given} {given}<&-; " if given != 3 else ""
            activated = as_third + 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            command = ["nbdkit", "-f", "-r", *tls, *self.options, "file", str(self.image)]
            self.process = subprocess.Popen(
                ["bash", "-c", activated, "nbdkit", *command],
                pass_fds=[given],
                stderr=subprocess.DEVNULL,
                env=os.environ | {"LC_ALL": "C"},
            )
        return self

    def kill(self) -> None:
        """As a host that loses power does, except that the network still says so."""
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()
