"""Debian's ``xva-img``, which takes archives of VMs apart and puts them together: another reader and writer
of XVA than ours; on an old pool whose chunks are checked by SHA-1, and on newer ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.conformance.sdk import logged_in
from tests.integration.simulator.pools import MIB

PACKAGE = "xva-img"
RELEASES = ("8.0", "23.1.0", "26.17")
TIMEOUT_S = 60.0


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` when the tool is not to be had."""
    tool = installed(build)
    for release in RELEASES:
        place = work_dir / release
        place.mkdir()
        with running_pool(place, version=release) as pool, logged_in(pool) as session:
            _try(tally, tool, release, pool, session)


def installed(build: Path) -> Path:
    """The tool: the machine's own, or Debian's package unpacked in ``build``."""
    if (own := shutil.which(PACKAGE)) is not None:
        return Path(own)
    place = (build / "debian").absolute()
    tool = place / "usr" / "bin" / PACKAGE
    if not tool.exists():
        if missing := [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]:
            raise Skip(f"{PACKAGE} is not installed, and there is no {missing[0]} to get it")
        place.mkdir(parents=True, exist_ok=True)
        for command in (["apt-get", "download", PACKAGE], ["sh", "-c", f"dpkg -x {PACKAGE}_*.deb ."]):
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT_S)
            if done.returncode:
                raise Skip(f"{PACKAGE} is not to be had: {done.stderr.strip().splitlines()[-1]}")
    return tool


def _try(tally: Tally, tool: Path, release: str, pool: RunningPool, session: Any) -> None:
    (vm,) = session.xenapi.VM.get_by_name_label("db")
    disk = _disks(session, vm)[0]
    content = os.urandom(2 * MIB) + bytes(3 * MIB) + os.urandom(3 * MIB)
    _transfer(pool, "PUT", "/import_raw_vdi", content, session_id=session.handle, vdi=disk)
    archive, parts = pool.work_dir / "db.xva", pool.work_dir / "parts"
    archive.write_bytes(_transfer(pool, "GET", "/export", session_id=session.handle, ref=vm))
    with tally.check(f"{release}: a VM's archive has its disks"):
        with tarfile.open(archive) as members:
            members.extractall(parts, filter="tar")
        names = sorted(path.name for path in parts.iterdir())
        assert names[-1] == "ova.xml", names
        assert len(names) == 3, names
    found = {}
    with tally.check(f"{release}: disk-export has the disks' bytes"):
        for number, folder in enumerate(path for path in parts.iterdir() if path.is_dir()):
            image = pool.work_dir / f"{number}.raw"
            _told(tool, "disk-export", f"{folder}/", str(image))
            found[folder] = image.read_bytes()
        assert content in found.values(), [len(data) for data in found.values()]
    with tally.check(f"{release}: what disk-import and package made becomes a VM with the disk's bytes"):
        other = os.urandom(MIB) + bytes(6 * MIB) + os.urandom(MIB)
        folder = next(folder for folder, data in found.items() if data == content)
        shutil.rmtree(folder)
        folder.mkdir()
        image = pool.work_dir / "other.raw"
        image.write_bytes(other)
        _told(tool, "disk-import", f"{folder}/", str(image))
        made = pool.work_dir / "made.xva"
        _told(tool, "package", str(made), *names, cwd=parts)
        _transfer(pool, "PUT", "/import", made.read_bytes(), session_id=session.handle)
        (twin,) = [ref for ref in session.xenapi.VM.get_by_name_label("db") if ref != vm]
        disks = [
            _transfer(pool, "GET", "/export_raw_vdi", session_id=session.handle, vdi=each)
            for each in _disks(session, twin)
        ]
        assert other in disks
        session.xenapi.VM.start(twin, False, False)


def _disks(session: Any, vm: str) -> list[str]:
    vbds = [session.xenapi.VBD.get_record(vbd) for vbd in session.xenapi.VM.get_VBDs(vm)]
    return [vbd["VDI"] for vbd in sorted(vbds, key=lambda vbd: vbd["userdevice"]) if vbd["type"] == "Disk"]


def _transfer(pool: RunningPool, method: str, path: str, content: bytes = b"", **query: str) -> bytes:
    url = f"https://{pool.address}{path}"
    answer = httpx.request(method, url, params=query, content=content, verify=False, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer
    return answer.content


def _told(tool: Path, *arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(tool), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=cwd
    )
    assert done.returncode == 0, f"{arguments[0]} ends with {done.returncode}: {done.stderr.strip()}"
    return done.stdout
