"""The README's first backup, line by line as it stands there, on a pool that is simulated."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.stack import Stack, running_stack

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
SECTION: Final = README.partition("## A first backup of your own pool")[2].partition("\n## ")[0]
ELSEWHERE: Final = {
    "xenkeep up &": "the stack runs it",
    "xenkeep events tail": "ends with Ctrl-C only: it is ended after its first event here",
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything runs and nothing was added."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
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


def test_every_command_of_the_readme_does_what_it_says(bare: Stack, tmp_path: Path) -> None:
    policy, mail = tmp_path / "nightly.yaml", tmp_path / "mail.yaml"
    policy.write_text(written_file("nightly.yaml"))
    mail.write_text("name: mail\nsyslog: {host: 127.0.0.1, port: 9, transport: udp}\n")
    names = {
        "pool.example.com": bare.pool.address(0),
        "/srv/backup": str(bare.folder / "backup"),
        "/mnt/usb/main": str(bare.folder / "copy"),
        "web-01": "web",
        "web-01-restored": "web-restored",
        "nightly.yaml": str(policy),
        "mail.yaml": str(mail),
    }
    secrets = {
        "pool add": ["--password-file", str(bare.password_file)],
        "repo create": ["--passphrase-file", str(bare.passphrase_file)],
    }
    before: list[str] = []
    done = []
    for line in commands():
        if line in ELSEWHERE:
            continue
        if "<point>" in line or "3f2a" in line:
            names["<point>"] = bare.data("point", "list", "--vm", "web")[0]["name"].rpartition("/")[2]
            names["3f2a"] = names["<point>"][:8]
        if line.startswith("xenkeep backup"):
            before = bare.hashes("web")
        asked = shlex.split(line)[1:]
        assert not [word for word in asked if word.startswith("/") and word not in names], (
            "a place of its own"
        )
        words = [names.get(word, word) for word in asked]
        bare.ok(*words, *secrets.get(" ".join(words[:2]), ()), answer="y\n")
        done.append(words[0])
    assert {"init", "status", "pool", "vm", "repo", "backup", "point", "restore", "policy", "run"} <= {*done}
    assert before == bare.hashes("web") == bare.hashes("web-restored")
    bare.ok("events", "tail", "--all", "--count", 1)
