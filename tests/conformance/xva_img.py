"""Debian's ``xva-img``, which takes archives of VMs apart and puts them together: another reader and writer
of XVA than ours. Its release 1.4.2 knows no chunks checked by XXH64, so an old pool writes what it reads;
what it writes goes to old pools and new ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.pool import RunningPool, running_pool
from tests.conformance.report import Skip, Tally
from tests.conformance.sdk import logged_in
from tests.integration.simulator.pools import MIB

PACKAGE = "xva-img"
OLD, NEW = "8.0", "26.17"
TIMEOUT_S = 60.0


def run(tally: Tally, work_dir: Path, build: Path) -> None:
    """Raises ``Skip`` when the tool is not to be had."""
    tool = installed(build)
    old, new = work_dir / "old", work_dir / "new"
    old.mkdir()
    new.mkdir()
    with running_pool(old, version=OLD) as pool, logged_in(pool) as session:
        made = _take_apart(tally, tool, pool, session)
        _bring(tally, OLD, pool, session, made)
    with running_pool(new, version=NEW) as pool, logged_in(pool) as session:
        _bring(tally, NEW, pool, session, made)


@dataclass(frozen=True)
class Made:
    """An archive that the tool made, and what is on one of its VM's disks."""

    archive: Path
    content: bytes


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


def _take_apart(tally: Tally, tool: Path, pool: RunningPool, session: Any) -> Made:
    """A VM's archive, put together again with other bytes on one disk."""
    (vm,) = session.xenapi.VM.get_by_name_label("db")
    content = os.urandom(2 * MIB) + bytes(3 * MIB) + os.urandom(3 * MIB)
    other = os.urandom(MIB) + bytes(6 * MIB) + os.urandom(MIB)
    disk = _disks(session, vm)[0]
    _transfer(pool, "PUT", "/import_raw_vdi", content, session_id=session.handle, vdi=disk)
    archive, parts, image = (pool.work_dir / name for name in ("db.xva", "parts", "disk.raw"))
    made = Made(pool.work_dir / "made.xva", other)
    with tally.check("disk-export finds the disks' bytes in a VM's archive"):
        archive.write_bytes(_transfer(pool, "GET", "/export", session_id=session.handle, ref=vm))
        with tarfile.open(archive) as members:
            members.extractall(parts, filter="tar")
        folders = sorted(path for path in parts.iterdir() if path.is_dir())
        found = {}
        for folder in folders:
            _told(tool, "disk-export", f"{folder}/", str(image))
            found[folder] = image.read_bytes()
        assert sorted(found.values()) == sorted([content, bytes(8 * MIB)])
    with tally.check("disk-import and package make an archive"):
        folder = next(folder for folder, data in found.items() if data == content)
        shutil.rmtree(folder)
        folder.mkdir()
        image.write_bytes(other)
        _told(tool, "disk-import", f"{folder}/", str(image))
        _told(tool, "package", str(made.archive), f"{parts}/ova.xml", *(f"{each}/" for each in folders))
    return made


def _bring(tally: Tally, release: str, pool: RunningPool, session: Any, made: Made) -> None:
    with tally.check(f"{release} makes a VM of the tool's archive, with the same bytes"):
        before = set(session.xenapi.VM.get_by_name_label("db"))
        content = made.archive.read_bytes()
        _transfer(pool, "PUT", "/import", content, session_id=session.handle)
        (vm,) = set(session.xenapi.VM.get_by_name_label("db")) - before
        query = {"session_id": session.handle}
        disks = [_transfer(pool, "GET", "/export_raw_vdi", vdi=each, **query) for each in _disks(session, vm)]
        assert sorted(disks) == sorted([made.content, bytes(8 * MIB)])
        session.xenapi.VM.start(vm, False, False)


def _disks(session: Any, vm: str) -> list[str]:
    vbds = [session.xenapi.VBD.get_record(vbd) for vbd in session.xenapi.VM.get_VBDs(vm)]
    return [vbd["VDI"] for vbd in sorted(vbds, key=lambda vbd: vbd["userdevice"]) if vbd["type"] == "Disk"]


def _transfer(pool: RunningPool, method: str, path: str, content: bytes = b"", **query: str) -> bytes:
    url = f"https://{pool.address}{path}"
    answer = httpx.request(method, url, params=query, content=content, verify=False, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer
    return answer.content


def _told(tool: Path, *arguments: str) -> None:
    done = subprocess.run([str(tool), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{arguments[0]} ends with {done.returncode}: {done.stderr.strip()}"
