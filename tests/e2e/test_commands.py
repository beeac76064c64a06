"""Every noun by the command line: what it prints for people, and the JSON that scripts rely on."""

import asyncio
import csv
import json
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep import status
from xenkeep.home import SERVICES
from xenkeep.mover.v1 import transfer_pb2

from tests.support.stack import PATIENCE_S, PROGRAM, REPOSITORY, Stack

POLICY = """
name: nightly
repository: main
vms: [web, db]
schedule: "0 22 * * *"
time_zone: Europe/Berlin
limits: {tasks_per_run: 2}
"""


@pytest.fixture(scope="module")
def points(stack: Stack) -> dict[str, str]:
    """One restore point of each VM, by the VM's name."""
    stack.ok("policy", "apply", written(stack, "nightly.yaml", POLICY))
    run = stack.data("run", "start", "nightly", "--wait")
    return {
        task["subject_display_name"]: task["result"]["point"]["point_id"]
        for task in run["tasks"]
        if task["state"] == "STATE_SUCCEEDED"
    }


@pytest.fixture(scope="module")
def syslog() -> Iterator[socket.socket]:
    """Somebody who listens to syslog on UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(30)
        yield listener


def written(stack: Stack, name: str, text: str) -> Path:
    file = stack.folder / name
    file.write_text(text)
    return file


def wait_until_somebody_else_follows(stack: Stack, before: set[str]) -> None:
    """JetStream tells of new consumers only to administrators of the server: hence the looking. Those of
    earlier commands end while we look, so that a number would tell nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while not asyncio.run(stack.followers()) - before:
        assert time.monotonic() < deadline, "nobody follows the events"


def wait_for_points(stack: Stack, count: int) -> None:
    """The catalog hears of what happens in a repository; nobody tells when it has."""
    deadline = time.monotonic() + PATIENCE_S
    while len(stack.data("point", "list")) != count:
        assert time.monotonic() < deadline, stack.ok("point", "list")


def test_a_pool_is_added_by_a_supporter_once_its_certificate_was_agreed_to(stack: Stack) -> None:
    address = stack.pool.address(2)
    sha256 = stack.client.pools.probe(address).sha256

    refused = stack.run("pool", "add", address, "--password-file", stack.password_file, answer="n\n")
    added = stack.run("pool", "add", address, "--password-file", stack.password_file, answer="y\n")

    shown = ":".join(sha256[i : i + 2] for i in range(0, 64, 2)).upper()
    assert (14, True) == (refused.code, shown in refused.out)
    assert "Nothing was added." in refused.err
    assert (0, True) == (added.code, shown in added.out)
    assert "coordinator, live" in added.out


def test_pools_are_listed_and_shown(stack: Stack) -> None:
    (pool,) = stack.data("pool", "list")
    shown = stack.data("pool", "show", "Lab")

    assert ("Lab", "STATE_ONLINE", 3, "root") == (
        pool["display_name"],
        pool["state"],
        pool["vm_count"],
        pool["username"],
    )
    assert pool == shown
    assert ["host0", "host1", "host2"] == sorted(host["display_name"] for host in shown["hosts"])
    assert all(host["certificate_sha256"] for host in shown["hosts"])
    assert "Lab" in stack.ok("pool", "list")
    assert "coordinator" in stack.ok("pool", "show", pool["name"])


def test_vms_are_listed_and_shown(stack: Stack) -> None:
    vms = {vm["display_name"]: vm for vm in stack.data("vm", "list", "--pool", "Lab")}

    assert {"web", "db", "spare"} <= set(vms)
    assert ["0", "1"] == [disk["device"] for disk in vms["db"]["disks"]]
    assert vms["web"] == stack.data("vm", "show", "web") == stack.data("vm", "show", vms["web"]["name"])
    assert "POWER_STATE_HALTED" == vms["spare"]["power_state"]
    assert "64.0 MiB" in stack.ok("vm", "show", "web")
    assert "running" in stack.ok("vm", "list")


def test_repositories_are_created_with_a_recovery_key_listed_and_shown(stack: Stack) -> None:
    place = stack.folder / "second"
    out = stack.ok("repo", "create", "second", place, "--passphrase-file", stack.passphrase_file)
    listed = {each["display_name"]: each for each in stack.data("repo", "list")}

    assert "Recovery key (shown once" in out
    assert {"main", "second"} <= set(listed)
    assert "STATE_READY" == listed["second"]["state"]
    assert place.as_uri() == listed["second"]["url"]
    assert listed["second"]["name"] == stack.data("repo", "show", "second")["name"]
    assert "ready" in stack.ok("repo", "list")
    assert str(place) in stack.ok("repo", "show", "second")


def test_a_policy_is_applied_again_without_effect_and_changed_with_replace(
    stack: Stack, points: dict[str, str]
) -> None:
    first = stack.data("policy", "show", "nightly")
    again = stack.data("policy", "apply", written(stack, "nightly.yaml", POLICY))
    other = written(stack, "changed.yaml", POLICY.replace("0 22", "0 23"))
    refused = stack.refused("policy", "apply", other)
    replaced = stack.data("policy", "apply", other, "--replace")

    assert first == again
    assert (5, "POLICY_EXISTS") == (refused[0], refused[1]["reason"])
    assert "0 23 * * *" == replaced["schedule"]
    assert first["etag"] != replaced["etag"]
    assert ["nightly"] == [each["name"].removeprefix("policies/") for each in stack.data("policy", "list")]
    assert "web, db" in stack.ok("policy", "list")
    assert "Europe/Berlin" in stack.ok("policy", "show", "nightly")


def test_runs_are_listed_and_shown_by_the_beginning_of_their_id(stack: Stack, points: dict[str, str]) -> None:
    listed = stack.data("run", "list")
    (run,) = [each for each in listed if "policy" in each["spec"]]
    shown = stack.data("run", "show", run["name"].removeprefix("runs/")[:8])

    assert {"web", "db"} == set(points)
    assert run["name"] == shown["name"]
    assert "STATE_SUCCEEDED" == shown["state"]
    assert ["db", "web"] == sorted(task["subject_display_name"] for task in shown["tasks"])
    assert "nightly" in stack.ok("run", "list")
    assert "full (first backup)" in stack.ok("run", "show", run["name"])


def test_a_run_is_watched_line_by_line(stack: Stack) -> None:
    started = stack.data("backup", "web", "--to", REPOSITORY)
    lines = stack.ok("run", "watch", started["name"], "--json").splitlines()

    assert "STATE_SUCCEEDED" == json.loads(lines[-1])["state"]
    assert {started["name"]} == {json.loads(line)["name"] for line in lines}
    assert "succeeded" in stack.ok("run", "watch", started["name"])


def test_a_run_that_is_cancelled_leaves_nothing_and_ends_with_exit_code_14(stack: Stack) -> None:
    points = len(stack.data("point", "list", "--vm", "web"))
    stack.control.limit(256 << 10)
    run = stack.data("backup", "web", "--to", REPOSITORY, "--full")["name"]
    stack.watch(run, lambda run: any(task.progress.read_bytes for task in run.tasks))

    stack.ok("run", "cancel", run)
    watched = stack.run("run", "watch", run)
    stack.control.limit(0)

    assert (14, True) == (watched.code, "The run was cancelled." in watched.err)
    assert points == len(stack.data("point", "list", "--vm", "web"))
    stack.wait_until_nothing_is_left()


def test_an_incremental_reads_only_what_changed(stack: Stack, points: dict[str, str]) -> None:
    disk = stack.disks("web")[0]
    stack.guest_writes(disk, 16 << 20, b"changed!" * 8192)

    task = stack.backup("web")

    point = task["result"]["point"]
    assert "LEVEL_INCREMENTAL" == point["level"]
    assert 65536 == int(point["read_bytes"])
    assert "incremental" in stack.ok("point", "list", "--vm", "web")


def test_points_are_listed_and_shown(stack: Stack, points: dict[str, str]) -> None:
    listed = stack.data("point", "list", "--vm", "db", "--repository", REPOSITORY)
    shown = stack.data("point", "show", points["db"][:8])

    assert [points["db"]] == [each["point"]["point_id"] for each in listed]
    assert listed[0] == shown
    assert "STATE_AVAILABLE" == shown["state"]
    assert 2 == len(shown["point"]["disks"])
    assert "db disk 1" in stack.ok("point", "show", points["db"])
    assert [] == stack.data("point", "list", "--vm", str(uuid.UUID(int=0)))


def test_a_vm_comes_back_as_a_new_one_beside_the_original(stack: Stack, points: dict[str, str]) -> None:
    run = stack.data("restore", points["db"][:8], "--name", "db again", "--wait")

    restored = run["tasks"][0]["result"]["vm"]
    assert stack.hashes("db") == stack.hashes(restored)
    assert stack.data("vm", "show", "db again")["name"] == restored
    assert stack.data("vm", "show", "db")["name"] != restored


def test_a_restore_over_the_original_keeps_its_uuid_and_its_interfaces(
    stack: Stack, points: dict[str, str]
) -> None:
    before, expected = stack.data("vm", "show", "db"), stack.hashes("db")
    stack.guest_writes(stack.disks("db")[1], 0, b"lost" * 128)

    run = stack.data("restore", points["db"], "--over-original", "--wait")

    after = stack.data("vm", "show", "db")
    assert expected == stack.hashes("db")
    assert before["name"] == after["name"] == run["tasks"][0]["result"]["vm"]
    same = ("description", "memory_bytes", "vcpus", "network_interfaces", "tags", "boot_parameters")
    assert {key: before[key] for key in same} == {key: after[key] for key in same}
    stack.wait_until_nothing_is_left()


def test_a_repository_is_verified_and_rebuilt(stack: Stack, points: dict[str, str]) -> None:
    count = len(stack.data("point", "list"))
    verified = stack.data("repo", "verify", REPOSITORY)
    scrubbed = stack.ok("repo", "verify", REPOSITORY, "--scrub")
    rebuilt = stack.data("repo", "rebuild", REPOSITORY)

    assert [] == verified["result"]["damages"]
    assert "no damage" in scrubbed
    assert count == int(rebuilt["catalog"]["point_count"])
    assert {"points": count, "added": 0, "removed": 0} == {
        key: int(value) for key, value in stack.data("point", "sync").items()
    }


def test_a_point_is_deleted_taken_back_and_pruned(stack: Stack, points: dict[str, str]) -> None:
    stack.guest_writes(stack.disks("web")[0], 8 << 20, b"more" * 16384)
    point = stack.backup("web")["result"]["point"]["point_id"]
    count = len(stack.data("point", "list"))

    deleted = stack.ok("point", "delete", point[:8])
    wait_for_points(stack, count - 1)
    assert f"xenkeep point undelete {point} --repository {REPOSITORY}" in deleted
    assert [point] == [each["point_id"] for each in stack.data("repo", "trash", REPOSITORY)]
    stack.ok("point", "undelete", point, "--repository", REPOSITORY)
    wait_for_points(stack, count)
    stack.ok("point", "delete", point)
    foretold = stack.data("repo", "prune", REPOSITORY, "--dry-run", "--grace", "0s")
    pruned = stack.data("repo", "prune", REPOSITORY, "--grace", "0s")

    wait_for_points(stack, count - 1)
    assert [point] == pruned["result"]["prune"]["purged_point_ids"]
    assert foretold["result"]["prune"]["deleted_bytes"] == pruned["result"]["prune"]["deleted_bytes"] != "0"
    assert "0 packs" in stack.ok("repo", "prune", REPOSITORY)
    assert [] == stack.data("repo", "verify", REPOSITORY)["result"]["damages"]
    code, error = stack.refused("point", "undelete", point, "--repository", REPOSITORY)
    assert (4, "POINT_NOT_IN_TRASH") == (code, error["reason"])


def test_what_takes_how_much_room_is_told_and_written_into_a_file(
    stack: Stack, points: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "statistics.csv"
    told = stack.data("repo", "stats", REPOSITORY, "--csv", str(file))
    total, assets = told["total"], {each["display_name"]: each for each in told["assets"]}
    assert int(total["point_count"]) == len(stack.data("point", "list")) == len(told["points"])
    assert int(total["logical_bytes"]) > int(total["stored_bytes"]) > int(total["needed_bytes"]) > 0
    assert {"web"} <= assets.keys()
    assert 0 < int(assets["web"]["unique_bytes"]) <= int(total["needed_bytes"])
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert len(told["points"]) == sum(row["row"] == "point" for row in rows)
    assert [total["stored_bytes"]] == [row["stored_bytes"] for row in rows if row["row"] == "repository"]
    assert "logical bytes for a stored one" in stack.ok("repo", "stats", REPOSITORY)
    refused = stack.run("repo", "stats", REPOSITORY, "--csv", tmp_path / "none" / "file")
    assert refused.code == 2 and "cannot be written" in refused.err


def test_samples_say_how_much_they_read(stack: Stack, points: dict[str, str]) -> None:
    shown = stack.ok("repo", "verify", REPOSITORY, "--sample", "50%", "--packs", "1")
    assert "1 of " in shown and "no damage" in shown and "such samples read everything" in shown
    assert 2 == stack.run("repo", "verify", REPOSITORY, "--sample", "half").code


def test_a_transfer_is_listed_stopped_and_its_work_goes_on_when_asked_again(
    stack: Stack, points: dict[str, str], tmp_path: Path
) -> None:
    spec = transfer_pb2.CopySpec(
        repository=REPOSITORY,
        target_url=(tmp_path / "copy").as_uri(),
        rate_limits=[transfer_pb2.RateLimit(bytes_per_second=1)],
    )
    started = stack.client.repositories.copy(spec).name
    assert started == stack.data("transfer", "list")[0]["name"]

    stack.data("transfer", "cancel", started[-36:][:13])
    ended = stack.run("transfer", "watch", started, "--json")
    assert (14, "TRANSFER_CANCELLED") == (ended.code, ended.error["reason"])
    assert "STATE_CANCELLED" == json.loads(ended.out.splitlines()[-1])["state"]
    assert "cancelled" in stack.ok("transfer", "show", started)
    code, error = stack.refused("transfer", "show", "zz")
    assert (4, "TRANSFER_NOT_FOUND") == (code, error["reason"])

    copied = stack.data("repo", "copy", REPOSITORY, tmp_path / "copy")["result"]["copy"]
    assert copied["left_point_count"] == "0"


def test_a_data_key_is_rotated_and_retired(stack: Stack, points: dict[str, str]) -> None:
    code, error = stack.refused("repo", "key", "retire", REPOSITORY)
    assert (6, "EPOCH_IN_USE") == (code, error["reason"])
    assert "2" in stack.ok("repo", "key", "rotate", REPOSITORY)
    assert [1, 2] == [each["epoch"] for each in stack.data("repo", "key", "epochs", REPOSITORY)]
    assert "epoch 1" in stack.ok("repo", "key", "retire", REPOSITORY)
    assert [2] == [each["epoch"] for each in stack.data("repo", "key", "epochs", REPOSITORY)]
    assert [] == stack.data("repo", "verify", REPOSITORY)["result"]["damages"]


def test_a_damaged_repository_is_repaired_by_a_repair_and_a_backup(
    stack: Stack, points: dict[str, str]
) -> None:
    place = stack.folder / "repair"
    stack.ok("repo", "create", "repair", place, "--passphrase-file", stack.passphrase_file)
    stack.backup("db", repository="repair")
    for pack in (place / "packs" / "data").rglob("*"):
        if pack.is_file():
            content = bytearray(pack.read_bytes())
            content[300] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)

    code, error = stack.refused("repo", "repair", "repair")
    assert (12, "DAMAGE_LEFT") == (code, error["reason"])
    stack.backup("db", repository="repair")
    healed = stack.data("repo", "repair", "repair")

    assert [] == healed["left"]["result"]["damages"]
    assert "no damage" in stack.ok("repo", "verify", "repair")


def test_a_point_whose_object_is_damaged_stays_listed_and_says_so(stack: Stack) -> None:
    point = stack.backup("db")["result"]["point"]["point_id"]
    file = stack.folder / REPOSITORY / "points" / point
    whole = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    dead = stack.pid("mover")
    stack.kill("mover")  # it remembers what it has read
    stack.wait_for_another("mover", dead)
    stack.wait_until_serving()

    stack.ok("point", "sync")
    shown = stack.data("point", "show", point)
    code, error = stack.refused("restore", point)

    assert "STATE_DAMAGED" == shown["state"]
    assert f"points/{point} is damaged" in shown["state_message"]
    assert "damaged" in next(line for line in stack.ok("point", "list").splitlines() if point[:8] in line)
    refused = (code, error["reason"])
    assert (status.of_kind("FailedPrecondition").exit_code, "RESTORE_POINT_DAMAGED") == refused
    assert f"points/{point}" in error["message"]

    file.write_bytes(whole)
    stack.ok("repo", "verify", REPOSITORY)
    assert "STATE_AVAILABLE" == available_again(stack, point)["state"]


def available_again(stack: Stack, point: str) -> Any:
    """The point when the catalog has heard of the verification."""
    deadline = time.monotonic() + PATIENCE_S
    while "STATE_AVAILABLE" != (shown := stack.data("point", "show", point))["state"]:
        assert time.monotonic() < deadline, shown
    return shown


def test_channels_are_added_tested_and_removed(stack: Stack, syslog: socket.socket) -> None:
    port = syslog.getsockname()[1]
    text = f"name: siem\nsyslog: {{host: 127.0.0.1, port: {port}, transport: udp}}\n"

    added = stack.data("notify", "add", written(stack, "siem.yaml", text))
    tested = stack.data("notify", "test", "siem")
    message = syslog.recv(65536)
    listed = stack.data("notify", "channels")
    deliveries = stack.data("notify", "deliveries", "--channel", "siem")

    assert "channels/siem" == added["name"]
    assert "STATE_DELIVERED" == tested["state"]
    assert message.startswith(b"<") and b">1 " in message
    assert ["channels/siem"] == [each["name"] for each in listed]
    assert deliveries and {"channels/siem"} == {each["channel"] for each in deliveries}
    assert "udp" in stack.ok("notify", "channels")
    assert {"removed": "channels/siem"} == stack.data("notify", "remove", "siem")
    assert [] == stack.data("notify", "channels")


def test_a_channel_whose_peer_does_not_answer_fails_its_test_with_exit_code_9(stack: Stack) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        text = f"name: deaf\nsyslog: {{host: 127.0.0.1, port: {port}, transport: tcp}}\n"
        stack.ok("notify", "add", written(stack, "deaf.yaml", text))

        code, error = stack.refused("notify", "test", "deaf")

    stack.ok("notify", "remove", "deaf")
    assert (9, "DELIVERY_FAILED") == (code, error["reason"])
    assert str(port) in error["message"]


def test_events_can_be_followed_from_the_oldest(stack: Stack, points: dict[str, str]) -> None:
    lines = stack.ok(
        "events", "tail", "--type", "xenkeep.mover.v1.PointCommitted", "--all", "--count", "2", "--json"
    )
    events: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]

    assert {"xenkeep.mover.v1.PointCommitted"} == {event["type"] for event in events}
    assert set(points.values()) == {event["data"]["point"]["pointId"] for event in events}
    assert {"type", "id", "source", "subject", "time", "data"} == set(events[0])


def test_events_can_be_followed_as_they_happen(stack: Stack) -> None:
    command = [PROGRAM, "--home", str(stack.home.path), "events", "tail", "--count", "1", "--json"]
    command += ["--type", "xenkeep.scheduler.v1.RunFinished"]
    before = asyncio.run(stack.followers())
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        try:
            wait_until_somebody_else_follows(stack, before)
            task = stack.backup("web")
            assert tail.stdout is not None
            event = json.loads(tail.stdout.readline())
        finally:
            tail.terminate()

    assert event["data"]["run"]["tasks"][0]["name"] == task["name"]


def test_status_names_every_service(stack: Stack) -> None:
    status = stack.data("status")

    assert set(SERVICES) == set(status)
    assert {"serving"} == {each["state"] for each in status.values()}
    assert stack.home.addresses == {name: each["address"] for name, each in status.items()}


def test_a_home_that_is_made_again_stays_as_it_is(stack: Stack) -> None:
    before = (stack.home.path / "xenkeep.json").read_text()

    made = stack.data("init")

    assert str(stack.home.path) == made["home"]
    assert before == (stack.home.path / "xenkeep.json").read_text()


def test_a_second_xenkeep_on_the_same_home_is_refused(stack: Stack) -> None:
    code, error = stack.refused("up")

    assert (6, "HOME_IN_USE") == (code, error["reason"])
    assert str(stack.home.path) in error["message"]


def test_a_pool_is_forgotten_and_added_again_while_its_points_stay(
    stack: Stack, points: dict[str, str]
) -> None:
    removed = stack.ok("pool", "remove", "Lab")
    gone = stack.data("vm", "list")
    stack.add_pool()

    assert "Removed Lab. Its restore points stay." in removed
    assert [] == gone
    assert points["db"] == stack.data("point", "show", points["db"])["point"]["point_id"]
    assert stack.data("vm", "show", "db")


@pytest.mark.scenario(45)
def test_a_repository_is_imported_on_a_machine_that_knows_nothing(
    stack: Stack, points: dict[str, str], tmp_path: Path
) -> None:
    """The repository is enough: a second Xenkeep restores into the pool from a copy of the directory."""
    subprocess.run(["cp", "-a", stack.folder / REPOSITORY, tmp_path / "copy"], check=True)
    other = Stack(tmp_path, stack.pool)
    try:
        other.start()
        other.add_pool()
        imported = other.data(
            "repo", "import", "found", tmp_path / "copy", "--secret-file", stack.recovery_key_file
        )
        other.data("point", "sync", "found")
        run = other.data("restore", points["db"], "--name", "db elsewhere", "--wait")

        assert stack.data("repo", "show", REPOSITORY)["name"] == imported["name"]
        assert stack.hashes("db") == other.hashes(run["tasks"][0]["result"]["vm"])
        assert {} == other.secrets_told()
    finally:
        other.close()
        other.stop()


def test_no_log_event_or_argument_tells_a_secret(stack: Stack, points: dict[str, str]) -> None:
    """After everything above."""
    assert {} == stack.secrets_told()


def test_no_service_asked_nats_for_what_it_may_not_do(stack: Stack, points: dict[str, str]) -> None:
    """After everything above."""
    log = (stack.home.path / "logs" / "nats.log").read_text().lower()

    assert [] == [line for line in log.splitlines() if "violation" in line or "authorization" in line]
