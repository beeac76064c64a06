"""What `xenkeep up` is made of: programs are started again, stopped, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from xenkeep.errors import Error
from xenkeep.local.processes import Program, leashed
from xenkeep.local.supervisor import Supervisor

from tests.support.waiting import until_true

SLEEPER = "import signal; print('here', flush=True); signal.pause()"


def program(code: str = SLEEPER, ready_line: str = "here") -> Program:
    return Program("sleeper", (sys.executable, "-c", code), ready_line=ready_line)


async def test_a_program_that_is_killed_is_started_again(tmp_path: Path) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor(tmp_path, told.put_nowait)
    await supervisor.start(program())
    first = supervisor.pid("sleeper")

    os.kill(first, signal.SIGKILL)

    assert "sleeper ended with code -9; starting it again in 0.4 s" == await told.get()
    await until_true(lambda: supervisor.pid("sleeper") != first)
    await supervisor.stop()


async def test_what_happens_while_it_is_down_happens_before_it_is_started_again(tmp_path: Path) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    supervisor = Supervisor(tmp_path, told.put_nowait)
    await supervisor.start(program())

    supervisor.interrupt("sleeper", lambda: told.put_nowait("while down"))

    assert "while down" == await told.get()
    assert "sleeper was killed and is started again" == await told.get()
    await supervisor.stop()


async def test_a_program_that_never_gets_ready_is_an_error_with_the_end_of_its_output(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, print)

    with pytest.raises(Error) as raised:
        await supervisor.start(program("raise SystemExit('the port is taken')"))

    await supervisor.stop()
    assert "sleeper ended with code 1: the port is taken." == raised.value.message
    assert f"Look into {tmp_path / 'sleeper.log'}." == raised.value.hint


async def test_a_program_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, print)

    with pytest.raises(Error, match="no-such-program"):
        await supervisor.start(Program("missing", ("no-such-program",), ready_line="here"))

    await supervisor.stop()


def test_a_program_dies_with_whoever_started_it() -> None:
    parent = (
        "import subprocess, sys\n"
        "from xenkeep.local.processes import leashed\n"
        f"subprocess.Popen(leashed([sys.executable, '-c', {SLEEPER!r}]))\n"
        "import signal; signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"here\n" == process.stdout.readline()

        process.kill()

        assert b"" == process.stdout.read(), "its pipe is closed when the last one that holds it is gone"


def test_a_program_whose_starter_is_gone_already_is_not_run() -> None:
    command = leashed([sys.executable, "-c", "print('ran')"])
    command[4] = "1"  # somebody else's child

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (1, "", "Whoever started this is gone.\n") == (done.returncode, done.stdout, done.stderr)
