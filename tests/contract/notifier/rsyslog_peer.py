"""A real rsyslogd with a configuration of its own, all of it in one temporary directory."""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.waiting import until

RSYSLOGD = "/usr/sbin/rsyslogd"
MODULES = [*glob("/usr/lib/*/rsyslog"), *filter(None, [os.environ.get("RSYSLOG_EXTRA_MODULES")])]
HAS_TLS = any((Path(directory) / "lmnsd_ossl.so").exists() for directory in MODULES)
"""Whether Debian's rsyslog-openssl is installed."""

CONFIGURATION = """
global(workDirectory="{dir}" maxMessageSize="64k"
       DefaultNetstreamDriverCAFile="{dir}/ca.pem" DefaultNetstreamDriverCertFile="{dir}/cert.pem"
       DefaultNetstreamDriverKeyFile="{dir}/key.pem")
module(load="imudp")
module(load="imptcp")
{tls}
input(type="imudp" address="127.0.0.1" port="{udp_port}")
input(type="imptcp" address="127.0.0.1" port="{tcp_port}")
template(name="parsed" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="version" name="protocol-version" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}}
*.* action(type="omfile" file="{dir}/parsed.jsonl" template="parsed")
"""
TLS_INPUT = """
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="{tls_port}")
"""


@dataclass(frozen=True)
class Rsyslog:
    """Where it listens, and what it has parsed."""

    udp_port: int
    tcp_port: int
    tls_port: int
    directory: Path

    async def parsed(self, count: int = 1) -> list[dict[str, Any]]:
        """The first `count` messages from Xenkeep, waiting until they are written."""
        file = self.directory / "parsed.jsonl"

        async def enough() -> list[dict[str, Any]]:
            text = file.read_text(encoding="utf-8") if file.exists() else ""
            complete = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            ours = [message for message in complete if message["app"] == "xenkeep"]
            return ours if len(ours) >= count else []

        return await until(enough)

    def complaints(self) -> str:
        """What it wrote about itself."""
        return (self.directory / "stderr").read_text() + "".join(
            path.read_text() for path in self.directory.glob("parsed.jsonl") if path.exists()
        )


@asynccontextmanager
async def rsyslog_peer(directory: Path) -> AsyncIterator[Rsyslog]:
    """`directory` holds ca.pem, cert.pem and key.pem."""
    ports = free_port(kind=socket.SOCK_DGRAM), free_port(), free_port()
    peer = Rsyslog(*ports, directory)
    tls = TLS_INPUT.format(tls_port=peer.tls_port) if HAS_TLS else ""
    config = directory / "rsyslog.conf"
    config.write_text(
        CONFIGURATION.format(dir=directory, tls=tls, udp_port=peer.udp_port, tcp_port=peer.tcp_port)
    )
    with (directory / "stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            RSYSLOGD, "-n", "-M", ":".join(MODULES), "-f", str(config), "-i", str(directory / "pid"),
            stderr=stderr, stdout=stderr,
        )  # fmt: skip
    try:
        await _listening(peer, process)
        yield peer
    finally:
        process.terminate()
        await process.wait()


async def _listening(peer: Rsyslog, process: asyncio.subprocess.Process) -> None:
    """Its inputs open in the order of the configuration, UDP first."""
    trusting = ssl.create_default_context(cafile=peer.directory / "ca.pem")
    ways = [(peer.tcp_port, None), *([(peer.tls_port, trusting)] if HAS_TLS else [])]

    async def answers(port: int, context: ssl.SSLContext | None) -> bool:
        assert process.returncode is None, f"rsyslogd ended: {(peer.directory / 'stderr').read_text()}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    for port, context in ways:
        await until(partial(answers, port, context))
