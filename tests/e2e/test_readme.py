"""The README's first backup, line by line as it stands there, on a pool that is simulated.

Every command is the installed ``xenkeep``, found on the PATH and started by itself, as whoever types it does.
"""

import asyncio
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.stack import PATIENCE_S, PROGRAM, Stack, running_stack
from tests.support.waiting import until, until_true

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
SECTION: Final = README.partition("## A first backup of your own pool")[2].partition("\n## ")[0]
TAIL: Final = "xenkeep events tail"
ELSEWHERE: Final = {
    "xenkeep up &": "the stack runs it",
    TAIL: "ends with Ctrl-C only: it runs beside all others",
}


@pytest.fixture(scope="module")
def bare(module_folder: Path) -> Iterator[Stack]:
    """Everything runs and nothing was added."""
    with running_stack(module_folder) as stack:
        yield stack


def commands() -> list[str]:
    """What begins with ``xenkeep`` in the section's shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    lines = (re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("xenkeep ")]


def written_file(name: str) -> str:
    """The content of the block that begins with the file's name."""
    found = re.search(rf"```yaml\n# {re.escape(name)}\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return found[1]


class Shell:
    """Where the README's commands are typed."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
        self.folder = folder
        self._env = os.environ | {"PATH": path, "COLUMNS": "200"} | dict(env)

    def typed(self, words: Sequence[str], answer: str) -> None:
        """Returns when the command has ended well; ``answer`` is typed into it."""
        ran = subprocess.run(
            words,
            cwd=self.folder,
            env=self._env,
            input=answer,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )
        assert 0 == ran.returncode, (words, ran.stdout)

    @contextmanager
    def beside(self, words: Sequence[str], begun: Callable[[], Awaitable[bool]]) -> Iterator[None]:
        """In another window, from when ``begun`` holds: it must tell something, and end well with Ctrl-C."""
        told = self.folder / "told"
        with told.open("w") as out:
            running = subprocess.Popen(
                words, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=out
            )
            try:
                asyncio.run(until(begun))
                yield
                asyncio.run(until_true(lambda: told.stat().st_size > 0))
            finally:
                running.send_signal(signal.SIGINT)
                code = running.wait(PATIENCE_S)
        assert 0 == code


def test_every_command_of_the_readme_does_what_it_says(bare: Stack, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"XENKEEP_HOME": str(bare.home.path)})
    (tmp_path / "nightly.yaml").write_text(written_file("nightly.yaml"))
    (tmp_path / "mail.yaml").write_text("name: mail\nsyslog: {host: 127.0.0.1, port: 9, transport: udp}\n")
    names = {
        "pool.example.com": bare.pool.address(0),
        "/srv/backup": str(bare.folder / "backup"),
        "/mnt/usb/main": str(bare.folder / "copy"),
        "web-01": "web",
        "web-01-restored": "web-restored",
    }
    secrets = {
        "pool add": ["--password-file", str(bare.password_file)],
        "repo create": ["--passphrase-file", str(bare.passphrase_file)],
    }
    followers = asyncio.run(bare.followers())
    before: list[str] = []
    done = []

    async def followed() -> bool:
        return bool(await bare.followers() - followers)

    with shell.beside(shlex.split(TAIL), followed):
        for line in commands():
            if line in ELSEWHERE:
                continue
            if "<point>" in line or "3f2a" in line:
                names["<point>"] = bare.data("point", "list", "--vm", "web")[0]["name"].rpartition("/")[2]
                names["3f2a"] = names["<point>"][:8]
            if line.startswith("xenkeep backup"):
                before = bare.hashes("web")
            asked = shlex.split(line)
            assert not [word for word in asked if word.startswith("/") and word not in names], (
                "a place of its own"
            )
            words = [names.get(word, word) for word in asked]
            shell.typed([*words, *secrets.get(" ".join(words[1:3]), ())], answer="y\n")
            done.append(words[1])
    assert {"init", "status", "pool", "vm", "repo", "backup", "point", "restore", "policy", "run"} <= {*done}
    assert before == bare.hashes("web") == bare.hashes("web-restored")
    assert TAIL in commands()
