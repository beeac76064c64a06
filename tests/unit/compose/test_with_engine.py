"""What `make test-compose` says where no engine can be had."""

import os
import subprocess
from pathlib import Path

import pytest

WITH_ENGINE = Path(__file__).parents[2] / "compose" / "with-engine"


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"id": "echo 1000"}, "this machine has no container engine, and making one takes root"),
        (
            {"id": "echo 0", "unshare": "exit 1"},
            "this machine has no container engine, and",  # Debian's packages or namespaces
        ),
        (
            {"docker": 'if [ "$1" = info ]; then exit 0; else exit 1; fi'},
            "this machine's engine has no compose v2; install the docker-compose-plugin",
        ),
    ],
)
def test_the_reason_is_printed_and_handed_to_the_command(
    tmp_path: Path, programs: dict[str, str], reason: str
) -> None:
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o700)

    done = subprocess.run(
        [WITH_ENGINE, "sh", "-c", 'echo "$XENKEEP_NO_ENGINE"; exit 7'],
        env=dict(os.environ)
        | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DOCKER_HOST": f"unix://{tmp_path}/nobody"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 7 == done.returncode
    assert reason in done.stdout
    assert f"NOT tested: {reason}" in done.stderr


def test_an_engine_of_this_machine_is_used_as_it_is(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\n[ "$1" = info ] || echo 2.40.3\n')
    docker.chmod(0o700)

    done = subprocess.run(
        [WITH_ENGINE, "sh", "-c", 'echo "${XENKEEP_NO_ENGINE-none}"'],
        env=dict(os.environ) | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "none\n" == done.stdout
    assert "engine: the one of this machine\n" == done.stderr
    assert ["docker"] == [path.name for path in tmp_path.iterdir()]
