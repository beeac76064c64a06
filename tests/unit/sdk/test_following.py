"""Following long work: interrupted, a command says what goes on; a service that restarts is waited for."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from xenkeep.cli.following import follow_run, follow_transfer
from xenkeep.cli.interruption import Interrupted, raise_when_terminated
from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2
from xenkeep.scheduler.v1 import run_pb2

ID = "0f0e0d0c-0000-4000-8000-000000000001"
RUNNING = transfer_pb2.Transfer(name=f"transfers/{ID}", state=transfer_pb2.Transfer.STATE_RUNNING)
DONE = transfer_pb2.Transfer(name=f"transfers/{ID}", state=transfer_pb2.Transfer.STATE_SUCCEEDED)


class Watched:
    """Transfers or runs, one of them, whose watches tell what they are given, one list each."""

    def __init__(self, *watches: list[Any]) -> None:
        self._watches = list(watches)

    def get(self, name: str) -> Any:
        return run_pb2.Run(name=name) if name.startswith("runs/") else RUNNING

    def watch(self, name: str) -> Iterator[Any]:
        for each in self._watches.pop(0):
            if isinstance(each, Error):
                raise each
            if isinstance(each, signal.Signals):
                os.kill(os.getpid(), each)
            else:
                yield each


def client_of(watched: Watched, waited: list[str] | None = None) -> Client:
    def wait(service: str, _timeout: float) -> None:
        assert waited is not None
        waited.append(service)

    return cast("Client", SimpleNamespace(transfers=watched, runs=watched, wait_until_serving=wait))


@pytest.fixture
def _terminable() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    raise_when_terminated()
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_terminable")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_says_that_the_transfer_goes_on_and_how_to_stop_it(
    number: signal.Signals, code: int
) -> None:
    with pytest.raises(Interrupted) as told:
        follow_transfer(client_of(Watched([RUNNING, number])), f"transfers/{ID}", json_=True)
    assert (code, "INTERRUPTED") == (told.value.exit_code, told.value.reason)
    assert f"The transfer {ID} goes on" in told.value.message
    assert f"`xenkeep transfer cancel {ID}`" in told.value.hint


@pytest.mark.usefixtures("_terminable")
def test_interrupted_it_says_that_the_run_goes_on() -> None:
    with pytest.raises(Interrupted) as told:
        follow_run(client_of(Watched([signal.SIGTERM])), f"runs/{ID}", json_=True)
    assert (143, f"`xenkeep run cancel {ID[:8]}`" in told.value.hint) == (told.value.exit_code, True)


def test_a_service_that_goes_away_is_waited_for() -> None:
    waited: list[str] = []
    gone = Error("Unavailable", "SERVICE_UNREACHABLE", "It does not answer.")
    followed = client_of(Watched([RUNNING, gone], [gone], [RUNNING, DONE]), waited)
    assert DONE == follow_transfer(followed, f"transfers/{ID}", json_=True)
    assert ["mover", "mover"] == waited


def test_what_else_goes_wrong_is_told_at_once() -> None:
    refused = Error("NotFound", "TRANSFER_NOT_FOUND", "There is none.")
    with pytest.raises(Error, match="There is none"):
        follow_transfer(client_of(Watched([refused])), f"transfers/{ID}", json_=True)
