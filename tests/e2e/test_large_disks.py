"""A QCOW2 disk of 3 TiB with a few MiB in it: backed up, incrementally too, and put back as it was."""

import base64
import os
import ssl
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pool import MIB, PASSWORD
from tests.support.stack import Stack, running_stack

TIB = 1 << 40
BLOCK = 64 * 1024
LARGE = {"name": "large disk", "size_bytes": 3 * TIB}
VMS = [{"name": "large", "host": "host0", "networks": ["Pool-wide network"], "disks": [LARGE]}]


@pytest.fixture(scope="module")
def stack(module_folder: Path) -> Iterator[Stack]:
    """A pool of a release whose storage makes QCOW2 images."""
    overrides = {"version": "26.17", "vms": VMS}
    with running_stack(module_folder, image_bytes=16 * MIB, overrides=overrides) as running:
        running.add_pool()
        running.add_repository()
        yield running


def _disk_of(task: dict[str, Any]) -> dict[str, Any]:
    [disk] = task["result"]["point"]["disks"]
    return dict(disk)


def _codes(task: dict[str, Any]) -> list[str]:
    return [notice["code"] for notice in task["result"]["notices"]]


def _image(stack: Stack, disk: str, path: Path) -> Path:
    """A disk as the pool exports it: a QCOW2 that holds what was ever written."""
    query = urllib.parse.urlencode({"vdi": disk, "format": "qcow2"})
    login = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
    url = f"https://{stack.pool.address(0)}/export_raw_vdi?{query}"
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(request, context=context) as answer:
        path.write_bytes(answer.read())
    return path


def test_only_what_was_written_is_read_and_it_comes_back_as_it_was(stack: Stack, tmp_path: Path) -> None:
    [disk] = stack.disks("large")
    stack.guest_writes(disk, 0, os.urandom(MIB))
    stack.guest_writes(disk, 5 * TIB // 2, os.urandom(2 * MIB))
    stack.guest_writes(disk, 3 * TIB - 512, os.urandom(512))
    first = stack.backup("large")
    chunks = 4 * MIB  # the last one is read whole for its last sector
    assert ("LEVEL_FULL", chunks) == (_disk_of(first)["level"], int(_disk_of(first)["read_bytes"]))
    assert ["FULL_FIRST_BACKUP"] == _codes(first)
    stack.guest_writes(disk, 2 * TIB + BLOCK, os.urandom(4096))
    stack.guest_writes(disk, 0, bytes(4096))
    second = stack.backup("large")
    assert ("LEVEL_INCREMENTAL", 2 * BLOCK) == (
        _disk_of(second)["level"],
        int(_disk_of(second)["read_bytes"]),
    )
    point = second["result"]["point"]["point_id"]
    (restored,) = stack.data("restore", point, "--name", "large again", "--wait")["tasks"]
    assert "STATE_SUCCEEDED" == restored["state"], restored
    assert "IMAGE_FORMAT_CHANGED" not in _codes(restored)
    [copy] = stack.disks(restored["result"]["vm"])
    record = next(vdi for vdi in stack.records("VDI").values() if vdi["uuid"] == copy)
    assert ("qcow2", str(3 * TIB)) == (record["sm_config"]["image-format"], record["virtual_size"])
    images = [_image(stack, each, tmp_path / each) for each in (disk, copy)]
    compare = ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", *map(str, images)]
    assert "identical" in subprocess.run(compare, check=True, capture_output=True, text=True).stdout


def test_storage_that_cannot_hold_it_refuses_it_in_one_sentence_and_nothing_is_made(stack: Stack) -> None:
    before = set(stack.records("VDI"))
    points = stack.data("point", "list", "--vm", "large")
    refused = stack.run(
        "restore", points[0]["point"]["point_id"], "--name", "no", "--sr", "Plain storage", "--wait"
    )
    assert 0 != refused.code
    assert "'large disk'" in refused.out + refused.err and "Plain storage" in refused.out + refused.err
    assert before == set(stack.records("VDI"))
