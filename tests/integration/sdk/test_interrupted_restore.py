"""A restore from a repository alone, interrupted: nothing runs on, and the same restore goes on."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.mover.adapters.stores import Stores
from tests.support.stack import PROGRAM
from tests.support.stack_parts import commands_below
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import MIB, PASSPHRASE, back_up, new_repository, noise

CONTENT = noise(24 * MIB)
POINT = "0f0e0d0c-0000-4000-8000-000000000001"
RESTORE = (sys.executable, "-P", "-m", "services.mover.restore_offline")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Of a repository with one point."""
    place = tmp_path / "repository"
    store = Stores(None, None).open(place.as_uri(), create=True)
    with new_repository(store, tmp_path / "cache") as repository:
        back_up(repository, POINT, CONTENT)
    return place


def test_after_sigterm_the_same_restore_goes_on(place: Path, tmp_path: Path) -> None:
    """Nobody reads what it tells, so that it cannot end before the signal is there."""
    out = tmp_path / "out"
    command = [*RESTORE, place.as_uri(), "--point", POINT, "--to-directory", str(out)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        process.stdin.write(PASSPHRASE + "\n")
        process.stdin.flush()
        assert "writing" == json.loads(process.stdout.readline())["doing"]
        process.send_signal(signal.SIGTERM)
        _, complaint = process.communicate(timeout=PATIENCE_S)
    assert (14, "RESTORE_INTERRUPTED") == (process.returncode, json.loads(complaint)["error"]["reason"])
    assert {".xenkeep-restore", "disk-0.raw.partial"} == {path.name for path in out.iterdir()}

    subprocess.run(command, input=PASSPHRASE + "\n", text=True, check=True, stdout=subprocess.DEVNULL)
    assert CONTENT == (out / "disk-0.raw").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_runs_on_when_the_command_is_ended(
    place: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The restore waits for a key slot that somebody else would have to write."""
    slot = next((place / "keys").iterdir())
    slot.unlink()
    os.mkfifo(slot)
    (tmp_path / "secret").write_text(PASSPHRASE)
    command: list[str | Path] = [PROGRAM, "restore", "--repository", place]
    command += ["--secret-file", tmp_path / "secret"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # killed, it leaves its working files
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process,
        slot.open("w"),  # returns when it is read
    ):
        (running,) = commands_below(process.pid)
        ended = select.poll()
        running_fd = os.pidfd_open(running)
        ended.register(running_fd, select.POLLIN)
        process.send_signal(number)
        _, complaint = process.communicate(timeout=PATIENCE_S)
        assert ended.poll(PATIENCE_S * 1000)
        os.close(running_fd)
    assert (code, number == signal.SIGTERM) == (process.returncode, "was interrupted" in complaint)
