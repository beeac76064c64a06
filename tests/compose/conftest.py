"""The stack is brought up once for all tests of this folder, and taken down with all it made."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.stack import Stack, free_ports, run

ASK_FOR_IT = "XENKEEP_TEST_COMPOSE"
"""Set by `make test-compose`: building an image and bringing containers up takes minutes and an engine."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything healthy, the demo's pool included, and a client's home folder exported."""
    if not os.environ.get(ASK_FOR_IT):
        pytest.skip("containers are tested by `make test-compose`")
    if reason := os.environ.get("XENKEEP_NO_ENGINE"):
        pytest.skip(reason)
    home: Path = tmp_path_factory.mktemp("home")
    made = Stack(home, free_ports())
    made.compose("down", "--volumes", "--remove-orphans")  # of a run that was killed
    try:
        made.up()
        made.export_home()
        yield made
    except BaseException:
        print(_logs(made))
        raise
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
        run(["docker", "image", "rm", "--force", "xenkeep:test"], dict(os.environ))


def _logs(stack: Stack) -> str:
    try:
        return stack.compose("ps", "--all") + stack.compose("logs", "--tail", "30")
    except (AssertionError, subprocess.SubprocessError) as error:
        return f"no logs: {error}"
