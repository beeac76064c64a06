"""The SDK's surface: typed, errors that can be read, homes, pages."""

import inspect
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import xenkeep
from xenkeep import status
from xenkeep.cli.following import failure_error, raise_unless_succeeded
from xenkeep.common.v1 import capture_pb2
from xenkeep.errors import Error
from xenkeep.home import SERVICES, Home
from xenkeep.paging import pages
from xenkeep.policies import Policies
from xenkeep.pools import Pools
from xenkeep.repositories import Repositories
from xenkeep.restore_points import RestorePoints
from xenkeep.runs import Runs
from xenkeep.scheduler.v1 import run_pb2
from xenkeep.vms import Vms

NOUNS = (Policies, Pools, Repositories, RestorePoints, Runs, Vms)


def test_it_says_that_it_is_typed() -> None:
    assert (files("xenkeep") / "py.typed").is_file()
    assert {"Client", "Error", "Home"} == set(xenkeep.__all__)


@pytest.mark.parametrize("noun", NOUNS)
def test_every_public_method_is_typed_and_documented(noun: type) -> None:
    for name, method in inspect.getmembers(noun, inspect.isfunction):
        if not name.startswith("_"):
            signature = inspect.signature(method)
            assert method.__doc__, name
            assert inspect.Signature.empty is not signature.return_annotation, name
            assert all(
                parameter.annotation is not inspect.Parameter.empty
                for parameter in list(signature.parameters.values())[1:]
            ), name


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    codes = [row.exit_code for row in status.TABLE]

    assert len(set(codes)) == len(codes)
    assert not {0, 3} & set(codes)
    assert {1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14} == set(codes)


def test_pages_are_followed_and_fetched_when_needed() -> None:
    asked: list[str] = []

    class Page:
        def __init__(self, items: list[int], next_page_token: str) -> None:
            self.items, self.next_page_token = items, next_page_token

    book = {"": Page([1, 2], "b"), "b": Page([3], "")}

    def fetch(token: str) -> Page:
        asked.append(token)
        return book[token]

    found = pages(fetch, lambda page: page.items)

    assert 1 == next(found)
    assert [""] == asked
    assert [2, 3] == list(found)
    assert ["", "b"] == asked


def test_a_home_is_made_once_and_kept(tmp_path: Path) -> None:
    made = Home.create(tmp_path, "here", any_port=True)
    again = Home.create(tmp_path, "elsewhere", any_port=False)

    assert made == again == Home.open(tmp_path)
    ports = {address.rpartition(":")[2] for address in [*made.addresses.values(), made.nats_url]}
    assert len(SERVICES) + 1 == len(ports)


def test_homes_that_are_made_at_once_have_no_port_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing serves yet, and there are hardly more ports than are asked for."""
    monkeypatch.setattr("xenkeep.home._PORTS", range(31_000, 31_060))
    homes = [Home.create(tmp_path / name, name, any_port=True) for name in "abcd"]
    chosen = [each for home in homes for each in (*home.addresses.values(), home.nats_url[6:])]
    assert 4 * (len(SERVICES) + 1) == len({*chosen})


def test_the_usual_ports_are_those_of_the_documentation(tmp_path: Path) -> None:
    home = Home.create(tmp_path, "home", any_port=False)

    assert [f"127.0.0.1:{port}" for port in range(7101, 7106)] == [home.addresses[name] for name in SERVICES]
    assert "tls://127.0.0.1:4222" == home.nats_url


@pytest.mark.parametrize("content", ["{", "[]", '{"site": "x"}', '{"site": 1, "nats": 2, "services": 3}'])
def test_a_broken_home_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "xenkeep.json").write_text(content)

    with pytest.raises(Error, match=str(tmp_path / "xenkeep.json")) as raised:
        Home.open(tmp_path)

    assert "HOME_UNREADABLE" == raised.value.reason


def test_a_home_can_be_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENKEEP_HOME", str(tmp_path))

    assert tmp_path == Home.default_path()


def test_a_client_without_certificates_says_how_to_make_them(tmp_path: Path) -> None:
    home = Home.create(tmp_path, "home", any_port=True)

    with pytest.raises(Error) as raised:
        xenkeep.Client(home)

    assert ("Unauthenticated", "CERTIFICATE_MISSING") == (raised.value.kind, raised.value.reason)
    assert "xenkeep init" in raised.value.hint


def test_a_run_that_failed_raises_its_own_failure_or_that_of_its_first_failed_task() -> None:
    failure = capture_pb2.Failure(
        kind="DataLoss", reason="POINT_DAMAGED", message="It is damaged.", hint="Verify."
    )
    task = run_pb2.Task(state=run_pb2.Task.STATE_FAILED, failure=failure)
    skipped = run_pb2.Task(
        state=run_pb2.Task.STATE_SKIPPED, failure=capture_pb2.Failure(reason="VM_NOT_FOUND")
    )

    with pytest.raises(Error) as raised:
        raise_unless_succeeded(run_pb2.Run(state=run_pb2.Run.STATE_FAILED, tasks=[skipped, task]))
    with pytest.raises(Error) as cancelled:
        raise_unless_succeeded(run_pb2.Run(state=run_pb2.Run.STATE_CANCELLED))
    raise_unless_succeeded(run_pb2.Run(state=run_pb2.Run.STATE_SUCCEEDED, tasks=[skipped]))

    assert ("POINT_DAMAGED", 12) == (raised.value.reason, raised.value.exit_code)
    assert ("RUN_CANCELLED", 14) == (cancelled.value.reason, cancelled.value.exit_code)


def test_a_failure_without_a_kind_is_ours() -> None:
    error = failure_error(capture_pb2.Failure(reason="X", message="Y."))

    assert ("Internal", 1) == (error.kind, error.exit_code)


def test_the_error_of_a_script_is_one_line_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from xenkeep.cli import main

    monkeypatch.setattr("sys.argv", ["xenkeep", "status", "--json"])
    main._complain(Error("NotFound", "HOME_MISSING", "There is no home.", "Make one."))

    assert {
        "error": {
            "kind": "NotFound",
            "reason": "HOME_MISSING",
            "message": "There is no home.",
            "hint": "Make one.",
        }
    } == json.loads(capsys.readouterr().err)
