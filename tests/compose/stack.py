"""The containers of docker-compose.yml under test, and the command line of a client outside them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xenkeep.home import SERVICES

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PROJECT = "xenkeep-test"
CLIENT = Path(sys.executable).with_name("xenkeep")
UP_SECONDS = 300


@dataclass(frozen=True)
class Stack:
    """``home`` is the folder a client outside works from. A command that fails raises AssertionError."""

    home: Path
    ports: dict[str, int]

    def up(self) -> None:
        """Build, start and wait until all are healthy."""
        self.compose("up", "--build", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS))

    def export_home(self) -> None:
        """What an administrator does once: take the client's folder out of its volume."""
        self.compose("cp", "init:/pki/admin/.", str(self.home))

    def compose(self, *arguments: str) -> str:
        """``docker compose ...`` with the demo's pool; a developer's .env is left out of it."""
        return run(["docker", "compose", *arguments], self._environment())

    def script(self, *command: str) -> str:
        """Run a script of the project on this stack."""
        return run(list(command), self._environment())

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container."""
        return self.compose("exec", "--no-TTY", service, *command).strip()

    def remove_volumes(self, *, but: str) -> None:
        """Remove all volumes but one; the containers must be gone."""
        label = f"label=com.docker.compose.project={PROJECT}"
        volumes = run(["docker", "volume", "ls", "--quiet", "--filter", label], dict(os.environ)).split()
        lost = [volume for volume in volumes if volume != f"{PROJECT}_{but}"]
        run(["docker", "volume", "rm", *lost], dict(os.environ))

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        found: list[dict[str, Any]] = json.loads(run(["docker", "inspect", container], dict(os.environ)))
        return found[0]

    def xenkeep(self, *arguments: str) -> Any:
        """``xenkeep ... --json`` from outside; what it printed."""
        return json.loads(run([str(CLIENT), *arguments, "--json"], self._outside()))

    def lines(self, *arguments: str) -> Iterator[str]:
        """The same for a command that prints a line per change; it is stopped when no more is asked for."""
        command = [str(CLIENT), *arguments, "--json"]
        with subprocess.Popen(command, env=self._outside(), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield from process.stdout
                assert 0 == process.wait(), f"{' '.join(command)}: {process.returncode}"
            finally:
                process.kill()

    def _outside(self) -> dict[str, str]:
        return dict(os.environ) | {"XENKEEP_HOME": str(self.home)}

    def _environment(self) -> dict[str, str]:
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("XENKEEP_", "COMPOSE_"))
        }
        ports = {f"XENKEEP_{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        of_compose = {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_PROFILES": "demo",
            "COMPOSE_ENV_FILES": os.devnull,
        }
        return kept | ports | of_compose | {"XENKEEP_VERSION": "test", "XENKEEP_SITE": "lab"}


def free_ports() -> dict[str, int]:
    """A port for each service and NATS that nobody uses now."""
    return {name: free_port() for name in (*SERVICES, "nats")}


def run(command: list[str], environment: dict[str, str]) -> str:
    """Standard output of a command that succeeded."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
