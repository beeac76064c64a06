"""What is read of a disk when its changes cannot be tracked, when it goes to two places, when it fails.

And how hard it is compressed.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pool import MIB
from tests.support.stack import Stack

SKIPPING = """
name: careful
repository: main
vms: [spare]
reading: {disk_failures: skip}
"""


@pytest.fixture(scope="module")
def plain(stack: Stack) -> str:
    """The UUID of a second disk of the VM ``spare``, where changed blocks are not tracked."""
    [sr] = stack.xapi("SR.get_by_name_label", "Plain storage")
    [vm] = stack.xapi("VM.get_by_name_label", "spare")
    disk = stack.xapi(
        "VDI.create",
        {
            "name_label": "plain disk",
            "SR": sr,
            "virtual_size": str(16 * MIB),
            "type": "user",
            "sharable": False,
            "read_only": False,
            "other_config": {},
        },
    )
    stack.xapi(
        "VBD.create",
        {
            "VM": vm,
            "VDI": disk,
            "userdevice": "1",
            "bootable": False,
            "mode": "RW",
            "type": "Disk",
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        },
    )
    uuid = str(stack.xapi("VDI.get_uuid", disk))
    stack.guest_writes(uuid, 0, os.urandom(8 * MIB))
    stack.add_repository("elsewhere")
    return uuid


@pytest.fixture
def unplugged(stack: Stack) -> Iterator[None]:
    """No host sees the plain storage."""
    [sr] = stack.xapi("SR.get_by_name_label", "Plain storage")
    pbds = stack.xapi("SR.get_PBDs", sr)
    for pbd in pbds:
        stack.xapi("PBD.unplug", pbd)
    yield
    for pbd in pbds:
        stack.xapi("PBD.plug", pbd)


def _levels(task: dict[str, Any]) -> list[str]:
    return [disk["level"].removeprefix("LEVEL_") for disk in task["result"]["point"]["disks"]]


def test_into_two_places_in_turn_both_disks_stay_incremental(stack: Stack, plain: str) -> None:
    for repository in ("main", "elsewhere"):
        first = stack.backup("spare", repository=repository)
        assert ["FULL", "FULL"] == _levels(first)
        assert "SNAPSHOT_KEPT" in [notice["code"] for notice in first["result"]["notices"]]
    tracked = next(disk for disk in stack.disks("spare") if disk != plain)
    for number, repository in enumerate(("main", "elsewhere", "main")):
        for disk in (tracked, plain):
            stack.guest_writes(disk, (4 * number + 1) * MIB, b"written" * 512 + bytes(512))
        task = stack.backup("spare", repository=repository)
        assert ["INCREMENTAL", "INCREMENTAL"] == _levels(task)
        read = [int(disk["read_bytes"]) for disk in task["result"]["point"]["disks"]]
        assert max(read) <= 3 * 2 * MIB, "2 MiB at a time where changes are not tracked"
    hashes = stack.hashes("spare")
    point = task["result"]["point"]["point_id"]
    (restored,) = stack.data("restore", point, "--name", "spare again", "--wait")["tasks"]
    assert "STATE_SUCCEEDED" == restored["state"]
    assert hashes == stack.hashes(restored["result"]["vm"])


def test_only_what_changed_is_stored_where_everything_has_to_be_read(stack: Stack, plain: str) -> None:
    text = "name: reading\nrepository: main\nvms: [spare]\nreading: {without_tracking: read_all}\n"
    file = stack.folder / "reading.yaml"
    file.write_text(text)
    stack.ok("policy", "apply", file)
    stack.data("run", "start", "reading", "--wait")
    stack.guest_writes(plain, 0, os.urandom(4096))
    (task,) = stack.data("run", "start", "reading", "--wait")["tasks"]
    disk = task["result"]["point"]["disks"][1]
    assert ("LEVEL_FULL", "FULL_REASON_TRACKING_UNSUPPORTED") == (disk["level"], disk["full_reason"])
    assert int(disk["read_bytes"]) >= 8 * MIB
    assert int(task["result"]["point"]["stored_bytes"]) < 3 * MIB
    vdis = stack.records("VDI").values()
    assert [] == [vdi for vdi in vdis if vdi["is_a_snapshot"] and vdi["type"] == "user" and _of_main(vdi)]


def _of_main(vdi: dict[str, Any]) -> bool:
    """What is kept for the other repository stays."""
    lineages = {key: value for key, value in vdi["other_config"].items() if key == "xenkeep:lineage"}
    return not lineages


def test_the_same_data_takes_the_less_room_the_harder_a_policy_has_it_compressed(
    stack: Stack, tmp_path: Path
) -> None:
    chance = random.Random(1)
    words = [chance.randbytes(chance.randrange(3, 9)) for _ in range(4000)]
    (disk, *_) = stack.disks("spare")
    stack.guest_writes(disk, 0, b"".join(chance.choices(words, k=1 << 20))[: 4 * MIB])
    stored = {}
    for word, level in (("fast", -3), ("high", 6)):
        stack.add_repository(word)
        file = tmp_path / f"{word}.yaml"
        file.write_text(f"name: {word}\nrepository: {word}\nvms: [spare]\ncompression: {word}\n")
        stack.ok("policy", "apply", file)
        assert ["Compression", word] in [
            line.split() for line in stack.ok("policy", "show", word).splitlines()
        ]
        (task,) = stack.data("run", "start", word, "--wait")["tasks"]
        point = task["result"]["point"]
        assert level == point["compression_level"]
        assert f"zstd {level}" in stack.ok("point", "show", point["point_id"])
        stored[word] = int(point["stored_bytes"])
    assert stored["high"] < 0.9 * stored["fast"]


def test_a_disk_nobody_can_read_fails_the_backup_or_is_named_on_the_point(
    stack: Stack, plain: str, unplugged: None, tmp_path: Path
) -> None:
    refused = stack.run("backup", "spare", "--to", "main", "--wait")
    assert refused.code != 0
    assert "Plain storage" in refused.out + refused.err
    file = tmp_path / "careful.yaml"
    file.write_text(SKIPPING)
    stack.ok("policy", "apply", file)
    (task,) = stack.data("run", "start", "careful", "--wait")["tasks"]
    point = task["result"]["point"]
    assert [plain] == [disk["disk_id"] for disk in point["missing_disks"]]
    assert "available, incomplete" in stack.ok("point", "list", "--vm", "spare")
    shown = stack.ok("point", "show", point["point_id"])
    assert "plain disk" in shown and "Plain storage" in shown
    (restored,) = stack.data("restore", point["point_id"], "--name", "without", "--wait")["tasks"]
    assert "DISK_NOT_RESTORED" in [notice["code"] for notice in restored["result"]["notices"]]
    assert 1 == len(stack.disks(restored["result"]["vm"]))
