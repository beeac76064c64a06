"""Bad input is answered with what is wrong and the way out, and changes nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xenkeep.client import Client
from xenkeep.demo.pool import PoolControl
from xenkeep.errors import Error
from xenkeep.scheduler.v1 import policy_pb2

from tests.e2e.wrong_words import POLICIES, UNKNOWN
from tests.support.stack import MIB, REPOSITORY, Stack


@pytest.fixture
def changes() -> None:
    """Asked for by the tests that do change something."""


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever is refused leaves everything as it was; tests that use no stack change nothing anyway."""
    if "stack" not in request.fixturenames or "changes" in request.fixturenames:
        yield
        return
    stack = request.getfixturevalue("stack")
    before = everything(stack)
    yield
    assert before == everything(stack)


def everything(stack: Stack) -> dict[str, Any]:
    client = stack.client
    return {
        "pools": [pool.name for pool in client.pools.list()],
        "repositories": [repository.name for repository in client.repositories.list()],
        "policies": [(policy.name, policy.etag) for policy in client.policies.list()],
        "points": [point.name for point in client.restore_points.list()],
        "channels": [channel.name for channel in client.channels.list()],
        "VMs": sorted(stack.records("VM")),
        "disks": sorted(ref for ref, vdi in stack.records("VDI").items() if vdi["managed"]),
    }


def written(folder: Path, content: bytes, name: str = "file") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_does_not_exist_is_not_found(stack: Stack, name: str) -> None:
    arguments, reason, message = UNKNOWN[name]

    code, error = stack.refused(*arguments)

    assert (4, "NotFound", reason) == (code, error["kind"], error["reason"])
    assert message in error["message"]
    assert error["hint"]


@pytest.mark.parametrize("name", POLICIES)
def test_a_file_that_is_no_policy_is_refused_and_said_why(stack: Stack, tmp_path: Path, name: str) -> None:
    content, reason, message = POLICIES[name]

    code, error = stack.refused("policy", "apply", written(tmp_path, content))

    assert (2, reason) == (code, error["reason"])
    assert message in error["message"]
    assert error["hint"]


def test_a_second_policy_of_the_same_name_is_refused_by_the_service_too(stack: Stack) -> None:
    selector = policy_pb2.VmSelector(all=True)
    policy = policy_pb2.Policy(name="policies/twice", selector=selector, repository=REPOSITORY)
    stack.client.policies.create(policy)
    try:
        with pytest.raises(Error) as raised:
            stack.client.policies.create(policy)
        assert ("AlreadyExists", "POLICY_EXISTS", 5) == (
            raised.value.kind,
            raised.value.reason,
            raised.value.exit_code,
        )
        assert "twice" in raised.value.message
    finally:
        stack.client.policies.remove("policies/twice")


def test_a_method_that_does_not_exist_is_refused(stack: Stack) -> None:
    ran = stack.run("backup", "web", "--to", REPOSITORY, "--method", "magic")

    assert 2 == ran.code
    assert "'magic' is not one of 'normal', 'offline', 'memory', 'quiesced'" in ran.err


def test_a_wrong_password_is_refused_by_the_pool(stack: Stack, tmp_path: Path) -> None:
    address = stack.pool.address(1)
    sha256 = stack.client.pools.probe(address).sha256
    wrong = written(tmp_path, b"not the password\n")

    code, error = stack.refused("pool", "add", address, "--password-file", wrong, "--certificate", sha256)

    assert (7, "POOL_CREDENTIALS_REFUSED") == (code, error["reason"])
    assert "refused the password of 'root'" in error["message"]
    assert "not the password" not in str(error)
    assert "right user name and password" in error["hint"]


def test_another_certificate_than_the_one_that_was_agreed_to_is_refused(stack: Stack) -> None:
    address, wanted = stack.pool.address(1), "00" * 32
    presented = stack.client.pools.probe(address).sha256

    code, error = stack.refused(
        "pool", "add", address, "--password-file", stack.password_file, "--certificate", wanted
    )
    with pytest.raises(Error) as raised:
        stack.client.pools.add(address, "root", "unused", wanted)

    assert (6, "CERTIFICATE_MISMATCH") == (code, error["reason"])
    assert f"presents the certificate {presented}, not {wanted}" in error["message"]
    assert "FailedPrecondition" == raised.value.kind


def test_a_place_where_no_pool_is_is_unavailable(stack: Stack) -> None:
    code, error = stack.refused("pool", "add", "127.0.0.1:1", "--password-file", stack.password_file)

    assert (9, "POOL_UNREACHABLE") == (code, error["reason"])
    assert "No host of a pool answers at 127.0.0.1, port 1 (" in error["message"]
    assert "Check the address" in error["hint"]


def test_a_certificate_nobody_can_agree_to_has_to_be_named(stack: Stack) -> None:
    """The input ends before the question is answered."""
    code, error = stack.refused("pool", "add", stack.pool.address(1), "--password-file", stack.password_file)

    assert (2, "NOBODY_TO_ASK") == (code, error["reason"])
    assert "with --certificate" in error["hint"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "SECRET_EMPTY"), (b"\n", "SECRET_EMPTY"), (b"\xff\xfe\x00", "SECRET_UNREADABLE")],
)
def test_a_secrets_file_without_a_secret_is_refused(
    stack: Stack, tmp_path: Path, content: bytes, reason: str
) -> None:
    file = written(tmp_path, content, "secret")

    code, error = stack.refused("repo", "create", "new", tmp_path / "new", "--passphrase-file", file)

    assert (2, reason) == (code, error["reason"])
    assert str(file) in error["message"]
    assert not (tmp_path / "new").exists()


def test_a_secrets_file_that_does_not_exist_is_refused(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "missing"

    code, error = stack.refused("repo", "import", "new", tmp_path, "--secret-file", file)

    assert (2, "SECRET_UNREADABLE") == (code, error["reason"])
    assert f"{file}: No such file or directory." in error["message"]


def test_a_repository_is_not_made_in_a_file_or_among_other_things(stack: Stack, tmp_path: Path) -> None:
    letter = written(tmp_path, b"dear", "letter.txt")
    options = ("--passphrase-file", stack.passphrase_file)

    in_file = stack.refused("repo", "create", "new", letter, *options)
    among = stack.refused("repo", "create", "new", tmp_path, *options)

    assert (6, "NOT_A_DIRECTORY") == (in_file[0], in_file[1]["reason"])
    assert (6, "STORE_NOT_EMPTY") == (among[0], among[1]["reason"])
    assert "letter.txt for example" in among[1]["message"]
    assert [letter] == list(tmp_path.iterdir())


def test_a_repository_name_is_taken_once(stack: Stack, tmp_path: Path) -> None:
    code, error = stack.refused(
        "repo", "create", REPOSITORY, tmp_path / "new", "--passphrase-file", stack.passphrase_file
    )

    assert (5, "REPOSITORY_EXISTS") == (code, error["reason"])
    assert not (tmp_path / "new").exists()


def test_a_repository_is_not_imported_from_where_none_is_or_with_a_wrong_passphrase(
    stack: Stack, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", stack.folder / REPOSITORY, copy], check=True)
    (tmp_path / "empty").mkdir()
    wrong = written(tmp_path, b"not this passphrase either\n")

    none = stack.refused("repo", "import", "new", tmp_path / "empty", "--secret-file", wrong)
    locked = stack.refused("repo", "import", "new", copy, "--secret-file", wrong)

    assert (4, "NOT_A_REPOSITORY") == (none[0], none[1]["reason"])
    assert (7, "WRONG_SECRET") == (locked[0], locked[1]["reason"])
    assert "not this passphrase" not in str(locked)


def test_a_short_passphrase_is_refused(stack: Stack, tmp_path: Path) -> None:
    file = written(tmp_path, b"short\n", "secret")

    code, error = stack.refused("repo", "create", "new", tmp_path / "new", "--passphrase-file", file)

    assert (2, "PASSPHRASE_TOO_SHORT") == (code, error["reason"])
    assert not (tmp_path / "new").exists()


def test_a_channel_with_two_sinks_is_refused(stack: Stack, tmp_path: Path) -> None:
    text = b"name: both\nsyslog: {host: a}\nemail: {host: b, sender: c, recipients: [d]}\n"

    code, error = stack.refused("notify", "add", written(tmp_path, text))

    assert (2, "FILE_INVALID") == (code, error["reason"])
    assert "exactly one of syslog, email, sms" in error["message"]


def test_a_home_that_is_missing_is_said_so(tmp_path: Path, stack: Stack) -> None:
    ran = stack.run("--home", tmp_path / "nowhere", "status", "--json")

    assert (4, "HOME_MISSING") == (ran.code, ran.error["reason"])
    assert "xenkeep init" in ran.error["hint"]


def test_a_home_that_is_broken_is_said_so(tmp_path: Path, stack: Stack) -> None:
    written(tmp_path, b"{", "xenkeep.json")

    ran = stack.run("--home", tmp_path, "status", "--json")

    assert (2, "HOME_UNREADABLE") == (ran.code, ran.error["reason"])
    assert str(tmp_path / "xenkeep.json") in ran.error["message"]


def test_services_that_are_down_are_named(tmp_path: Path, stack: Stack) -> None:
    asleep = Stack(tmp_path, stack.pool)
    status = asleep.run("status", "--json")
    asked = asleep.refused("pool", "list")
    events = asleep.refused("events", "tail")
    asleep.close()

    assert (9, "SERVICE_DOWN") == (status.code, status.error["reason"])
    assert "hypervisor, mover, catalog, scheduler, notifier" in status.error["message"]
    assert (9, "SERVICE_UNREACHABLE") == (asked[0], asked[1]["reason"])
    assert asleep.home.addresses["hypervisor"] in asked[1]["message"]
    assert "xenkeep up" in asked[1]["hint"]
    assert (9, "NATS_UNREACHABLE") == (events[0], events[1]["reason"])


@pytest.mark.usefixtures("changes")
def test_a_full_disk_fails_the_run_says_so_and_damages_nothing(stack: Stack, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={12 * MIB}", "tmpfs", place], check=True)
    try:
        stack.data(
            "repo", "create", "small", place / "repository", "--passphrase-file", stack.passphrase_file
        )
        code, error = stack.refused("backup", "web", "--to", "small", "--wait")
        verified = stack.data("repo", "verify", "small")
        spare = stack.backup("spare", repository="small")
    finally:
        stack.stop()
        subprocess.run(["umount", place], check=True)
        stack.start()

    assert (10, "ResourceExhausted") == (code, error["kind"])
    assert str(place) in error["message"]
    assert error["hint"]
    assert [] == verified["result"]["damages"]
    assert "STATE_SUCCEEDED" == spare["state"]
    assert "STATE_UNAVAILABLE" == stack.data("repo", "show", "small")["state"]
    stack.wait_until_nothing_is_left()


@pytest.mark.usefixtures("changes")
def test_a_vm_that_vanished_is_skipped_and_the_others_are_backed_up(stack: Stack, tmp_path: Path) -> None:
    text = b"name: two\nrepository: main\nvms: [web, spare]\n"
    stack.ok("policy", "apply", written(tmp_path, text))
    (spare,) = [ref for ref, vm in stack.records("VM").items() if vm["name_label"] == "spare"]
    stack.xapi("VM.destroy", spare)
    stack.wait_until_unlisted("spare")

    run = stack.data("run", "start", "two", "--wait")

    tasks = {task["subject_display_name"]: task for task in run["tasks"]}
    assert "STATE_SUCCEEDED" == run["state"] == tasks["web"]["state"]
    assert "STATE_SKIPPED" == tasks["spare"]["state"]
    assert "The policy names 'spare', and there is no such VM." == tasks["spare"]["failure"]["message"]
    assert "Take it out of the policy" in tasks["spare"]["failure"]["hint"]


@pytest.fixture(scope="module")
def point_of_old(stack: Stack) -> str:
    """Of ``web``. Since then the pool was made anew on the same addresses: new certificates, as after a man
    stepped in between.
    """
    point: str = stack.backup("web")["result"]["point"]["point_id"]
    stack.control.close()
    stack.pool.stop()
    stack.pool.overrides["data_dir"] = str(stack.folder / "sim" / "another pool")
    stack.pool.start()
    stack.control = PoolControl(stack.pool.socket)
    return point


@pytest.mark.usefixtures("changes")
def test_a_pool_that_presents_another_certificate_is_not_talked_to_until_it_is_added_again(
    stack: Stack, point_of_old: str
) -> None:
    (pool,) = stack.pools_when(lambda pool: pool["state"] == "STATE_CERTIFICATE_CHANGED")
    code, error = stack.refused("backup", "web", "--to", REPOSITORY, "--wait")
    restoring = stack.refused("restore", point_of_old, "--wait")

    assert "certificate" in pool["state_message"]
    assert (6, "CERTIFICATE_CHANGED") == (code, error["reason"])
    assert error["hint"]
    assert (6, "CERTIFICATE_CHANGED") == (restoring[0], restoring[1]["reason"])


@pytest.mark.usefixtures("changes")
def test_a_restore_into_a_pool_that_is_gone_says_so_and_goes_into_another(
    stack: Stack, point_of_old: str
) -> None:
    (old,) = stack.data("pool", "list")
    point = stack.data("point", "show", point_of_old)["point"]
    stack.ok("pool", "remove", old["name"])
    stack.add_pool()

    code, error = stack.refused("restore", point["point_id"], "--wait")
    run = stack.data("restore", point["point_id"], "--pool", "Lab", "--name", "rescued", "--wait")

    assert (4, "POOL_UNKNOWN") == (code, error["reason"])
    assert point["asset"]["pool_id"] in error["message"]
    assert error["hint"]
    assert "STATE_SUCCEEDED" == run["state"]
    assert stack.hashes("web") == stack.hashes("rescued"), "both pools were made from the same images"


def test_services_may_not_do_what_people_may(stack: Stack) -> None:
    with Client(stack.home, "catalog") as catalog, pytest.raises(Error) as deleting:
        catalog.repositories.verify(REPOSITORY, full=False)
    with Client(stack.home, "scheduler") as scheduler, pytest.raises(Error) as removing:
        scheduler.pools.remove("Lab")

    for refused in (deleting, removing):
        assert ("PermissionDenied", "CALLER_NOT_ALLOWED", 8) == (
            refused.value.kind,
            refused.value.reason,
            refused.value.exit_code,
        )


def test_no_log_event_or_argument_tells_a_secret(stack: Stack) -> None:
    """After everything above."""
    assert {} == stack.secrets_told()
