"""libnbd's and QEMU's tools as clients of a pool's NBD servers, by what ``VDI.get_nbd_info`` tells.

QEMU's cannot read from xapi-nbd, neither from this one nor from a real one: over TLS they trust no
certificate that does not call itself an authority, and they ask for a list of exports, which it denies (both
recorded).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.conformance.sdk import logged_in
from tests.integration.simulator.pools import MIB

TOOLS = ("nbdinfo", "nbdcopy", "qemu-img")
TIMEOUT_S = 60.0
SIZE = 8 * MIB


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` without the tools."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise Skip(f"{', '.join(missing)} not installed")
    with running_pool(work_dir) as pool, logged_in(pool) as session:
        content, disk = _filled_disk(pool, session)
        for info in session.xenapi.VDI.get_nbd_info(disk)[:2]:
            _over_tls(tally, work_dir, info, content)
        with tally.check("nothing stays attached"):
            _wait_until_free(session, disk)
        _without_tls(tally, work_dir, session, disk, content)


def _filled_disk(pool: RunningPool, session: Any) -> tuple[bytes, str]:
    content = os.urandom(3 * MIB) + bytes(4 * MIB) + os.urandom(MIB)
    (vm,) = session.xenapi.VM.get_by_name_label("db")
    vbds = [session.xenapi.VBD.get_record(vbd) for vbd in session.xenapi.VM.get_VBDs(vm)]
    disk = next(vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk")
    query = {"vdi": disk, "session_id": session.handle}
    httpx.put(f"https://{pool.address}/import_raw_vdi", params=query, content=content, verify=False)
    return content, str(disk)


def _over_tls(tally: Tally, work_dir: Path, info: dict[str, Any], content: bytes) -> None:
    """The host's certificate is the only authority; its name or address is checked."""
    host, port = info["address"], info["port"]
    trusted = work_dir / f"tls-{host}"
    trusted.mkdir()
    (trusted / "ca-cert.pem").write_text(info["cert"], "utf-8")
    uri = f"nbds://{host}:{port}/{quote(info['exportname'])}?tls-certificates={trusted}"
    with tally.check(f"nbdinfo sees a read-only disk on {host}"):
        (export,) = json.loads(_told("nbdinfo", "--json", "--no-content", uri))["exports"]
        assert (export["export-size"], export["is_read_only"]) == (SIZE, True)
    with tally.check(f"nbdcopy reads it from {host} over four connections"):
        copy = work_dir / "copy.raw"
        _told("nbdcopy", "--connections=4", uri, str(copy))
        assert _same(copy, content)


def _without_tls(tally: Tally, work_dir: Path, session: Any, disk: str, content: bytes) -> None:
    """On a network that is trusted instead."""
    for network, record in session.xenapi.network.get_all_records().items():
        for purpose in record["purpose"]:
            session.xenapi.network.remove_purpose(network, purpose)
            session.xenapi.network.add_purpose(network, "insecure_nbd")
    info = session.xenapi.VDI.get_nbd_info(disk)[0]
    uri = f"nbd://{info['address']}:{info['port']}/{quote(info['exportname'])}"
    with tally.check("nbdcopy reads without TLS"):
        _told("nbdcopy", uri, str(work_dir / "plain.raw"))
        assert _same(work_dir / "plain.raw", content)
    with tally.check("qemu-img, which asks for a list of exports, is sent away as xapi-nbd does"):
        image = f"driver=nbd,host={info['address']},port={info['port']},export={info['exportname']}"
        done = _run("qemu-img", "info", "--image-opts", image)
        assert (done.returncode, "Denied by server for option 3 (list)" in done.stderr) == (1, True), done


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def _told(*command: str) -> str:
    done = _run(*command)
    assert done.returncode == 0, f"{command[0]} ends with {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def _same(path: Path, content: bytes) -> bool:
    return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


def _wait_until_free(session: Any, disk: str) -> None:
    """Until only the VM of the disk has it."""
    token = ""
    while len(session.xenapi.VDI.get_VBDs(disk)) > 1:
        token = session.xenapi.event_from([f"vdi/{disk}"], token, 5.0)["token"]
