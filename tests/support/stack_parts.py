"""What the stack of the tests is made of, and how it is looked at from outside."""

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

Records = dict[str, dict[str, Any]]


def leftovers(records: Callable[[str], Records]) -> list[str]:
    """What a backup or restore of ours must not leave: snapshots, control-domain VBDs, lone disks.

    ``records`` gives all XenAPI records of a kind.
    """
    vms, vdis, vbds = records("VM"), records("VDI"), records("VBD")
    left = [f"snapshot {vm['name_label']}" for vm in vms.values() if vm["is_a_snapshot"]]
    left += [f"VM {vm['name_label']} half made" for vm in vms.values() if _is_marked(vm)]
    domains = {ref for ref, vm in vms.items() if vm["is_control_domain"]}
    left += [f"VBD {vbd['uuid']} of a control domain" for vbd in vbds.values() if vbd["VM"] in domains]
    for vdi in vdis.values():
        if vdi["type"] in ("ha_statefile", "redo_log"):
            continue  # the pool's own: it keeps them for the next time that high availability is on
        if vdi["managed"] and not vdi["is_tools_iso"] and (not vdi["VBDs"] or vdi["is_a_snapshot"]):
            left.append(f"{vdi['type']} disk {vdi['name_label']} of {vdi['snapshot_of']}")
    for text in {text for text in left if text.startswith("cbt_metadata")}:
        left.remove(text)  # one for each disk is what the next incremental starts from
    return left


def runs(program: str, command: str) -> bool:
    """Whether a command line is that of a program of ours."""
    return ("nats-server" if program == "nats" else f"services.{program}\0") in command


def commands_below(parent: int) -> dict[int, str]:
    """Command lines of the processes ``parent`` has started, and of those they have, by process id."""
    below: dict[int, str] = {}
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
        for child in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
            below |= {child: Path(f"/proc/{child}/cmdline").read_text()} | commands_below(child)
    return below


def _is_marked(vm: dict[str, Any]) -> bool:
    return any(key.startswith("xenkeep:restore_target") for key in vm["other_config"])


def described_vm(name: str, host: str | None, images: list[Path], **more: Any) -> dict[str, Any]:
    disks = [
        {"name": f"{name} disk {number}", "image": str(image), "bootable": number == 0}
        for number, image in enumerate(images)
    ]
    return {"name": name, "host": host, "networks": ["Pool-wide network"], "disks": disks, **more}


def ext4_image(path: Path, size_bytes: int) -> Path:
    """A real ext4 file system, a third of it filled with what cannot be compressed."""
    tree = path.with_suffix(".tree")
    tree.mkdir()
    rng = Random(path.name)
    for number in range(4):
        (tree / f"records-{number}.bin").write_bytes(rng.randbytes(size_bytes // 12))
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-J", "size=4", "-d", tree, path, f"{size_bytes // 1024}k"],
        check=True,
        capture_output=True,
        env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    return path
