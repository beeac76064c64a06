"""A pool's metadata: saved, listed, exported, checked by the pool, and never put where a VM belongs."""

import json
import stat
import tarfile
from pathlib import Path

import pytest

from tests.support.stack import Stack

POLICY = """
name: pools
repository: main
pool_metadata: {hosts: true}
schedule: "30 4 * * *"
"""


@pytest.fixture(scope="module")
def point(stack: Stack) -> str:
    """Of the pool's database and description."""
    (task,) = stack.data("backup", "--to", "main", "--pool-metadata", "Lab", "--wait")["tasks"]
    assert ("STATE_SUCCEEDED", "Lab") == (task["state"], task["subject_display_name"])
    return str(task["result"]["point"]["point_id"])


def test_it_is_a_restore_point_of_the_pool(stack: Stack, point: str) -> None:
    (listed,) = stack.data("point", "list")
    assert ("ASSET_KIND_POOL", "Lab") == (
        listed["point"]["asset"]["kind"],
        listed["point"]["asset"]["display_name"],
    )
    assert ["database.xml", "description.json"] == [each["name"] for each in listed["point"]["streams"]]
    assert "pool Lab" in stack.ok("point", "list")
    shown = stack.ok("point", "show", point[:8])
    assert "Pool metadata" in shown and "database.xml" in shown


def test_it_is_exported_into_files_of_their_owner_alone(stack: Stack, point: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = stack.ok("point", "export", point, "--to", out)
    assert "xe pool-restore-database" in said and "REBOOTS" in said
    dump, description = out / "database.xml", out / "description.json"
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in (dump, description)}
    assert dump.read_bytes().rstrip().endswith(b"</database>")
    told = json.loads(description.read_text())
    names = {sr["name_label"] for sr in told["SR"]}
    assert {"Shared storage", "Plain storage"} <= names
    assert "Pool-wide network" in {network["name_label"] for network in told["network"]}
    assert told["PIF"] and told["PBD"]
    assert ["host0", "host1", "host2"] == sorted(host["name_label"] for host in told["host"])
    assert "would take it back" in stack.ok("pool", "check-database", "Lab", dump)
    _, error = stack.refused("point", "export", point, "--to", out)
    assert "DIRECTORY_NOT_EMPTY" == error["reason"]


def test_a_dump_the_pool_would_not_take_is_refused_in_its_words(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "dump.xml"
    file.write_text("<database><manifest/></database>")
    code, error = stack.refused("pool", "check-database", "Lab", file)
    assert (6, "DUMP_NOT_ACCEPTED") == (code, error["reason"])


def test_it_is_not_restored_as_a_vm(stack: Stack, point: str) -> None:
    (task,) = json.loads(stack.run("restore", point, "--wait", "--json").out)["tasks"]
    assert "POINT_NOT_A_VM" == task["failure"]["reason"]


def test_a_policy_saves_all_pools_with_their_hosts(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text(POLICY)
    stack.ok("policy", "apply", file)
    stack.ok("policy", "apply", file)
    assert "pool metadata" in stack.ok("policy", "list")
    (task,) = stack.data("run", "start", "pools", "--wait")["tasks"]
    names = [each["name"] for each in task["result"]["point"]["streams"]]
    hosts = {f"host-{host['uuid']}.tar" for host in stack.records("host").values()}
    assert hosts == {name for name in names if name.startswith("host-")}
    stack.ok("point", "export", task["result"]["point"]["point_id"], "--to", tmp_path / "out")
    for name in hosts:
        with tarfile.open(tmp_path / "out" / name) as files:
            assert files.getnames()


def test_the_repository_alone_gives_it_back(stack: Stack, point: str, tmp_path: Path) -> None:
    place = stack.data("repo", "show", "main")["url"]
    alone = ("restore", "--repository", place, "--secret-file", stack.recovery_key_file)
    restored = stack.data(*alone, point, "--to-directory", tmp_path / "out")["restored"]
    assert ["database.xml", "description.json"] == restored["files"]
    assert (tmp_path / "out" / "database.xml").read_bytes().rstrip().endswith(b"</database>")
