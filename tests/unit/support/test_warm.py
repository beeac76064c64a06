"""Warm processes are processes like others."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import until_true
from tests.support.warm import start

HERE = "tests.unit.support.test_warm"


def told_apart() -> int:
    """What a child runs: shows what it was given."""
    print(sys.argv[1:], os.environ.get("GIVEN"), os.environ.get("PATH"), os.getcwd(), sys.stdin.read())
    print("to errors", file=sys.stderr)
    return 3


def waits() -> None:
    print(os.getpid(), flush=True)
    signal.pause()


def house() -> None:
    """A process that has a warm child, and dies without a word to it."""
    said, saying = os.pipe()
    start(f"{HERE}:waits", stdout=saying)
    os.write(1, os.read(said, 100))  # it has begun
    os.kill(os.getpid(), signal.SIGKILL)


def test_arguments_environment_files_and_exit_code_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("typed")
    with (
        (tmp_path / "in").open() as given,
        (tmp_path / "out").open("w") as out,
        (tmp_path / "err").open("w") as err,
    ):
        files = {"stdin": given.fileno(), "stdout": out.fileno(), "stderr": err.fileno()}
        assert 3 == start(f"{HERE}:told_apart", "a", "b c", env={"GIVEN": "this"}, **files).join()
    assert f"['a', 'b c'] this None {os.getcwd()} typed\n" == (tmp_path / "out").read_text()
    assert "to errors\n" == (tmp_path / "err").read_text()


async def test_it_is_waited_for_and_dies_of_signals() -> None:
    process = start(f"{HERE}:waits", stdout=2)
    assert process.returncode is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.join(0)
    process.send_signal(signal.SIGKILL)
    assert -signal.SIGKILL == await process.wait() == process.returncode
    process.send_signal(signal.SIGKILL)  # to nobody


def test_it_dies_with_whoever_started_it() -> None:
    command = [sys.executable, "-c", f"from {HERE} import house; house()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert -signal.SIGKILL == parent.wait()
    asyncio.run(until_true(lambda: not Path(f"/proc/{child}").exists()))
