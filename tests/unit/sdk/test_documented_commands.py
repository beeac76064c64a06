"""Every command the documentation names can be typed as it stands there."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer._click.exceptions import MissingParameter, UsageError
from xenkeep.cli.main import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(?:^|[`(]|\.venv/bin/|&& )(xenkeep [^`\n]*)", re.MULTILINE)
MAKE = re.compile(r"`make ([a-z-]+)|^make ([a-z-]+)", re.MULTILINE)
PLACEHOLDER = re.compile(r"[<>]|…|\.\.\.")


def documented() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for line in COMMAND.findall(page.read_text()):
            words = shlex.split(PLACEHOLDER.sub("", line), comments=True)
            end = next((i for i, word in enumerate(words) if word in ("&", "&&", "|", ";")), len(words))
            yield f"{page.relative_to(ROOT)}: {line}", words[1:end]


def parsed(words: list[str]) -> Any:
    """The context of the innermost command; raises click's UsageError for what cannot be typed."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("xenkeep", list(words))
    while hasattr(command, "resolve_command") and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize(("where", "words"), list(documented()))
def test_it_can_be_typed(where: str, words: list[str]) -> None:
    """In running text a command may stand without its arguments."""
    only_named = len(words) <= 2 and not [word for word in words if word.startswith("-")]
    try:
        with suppress(typer.Exit):  # --help
            parsed(words)
    except UsageError as error:
        assert only_named and isinstance(error, MissingParameter), f"{where}: {error}"


def test_the_documentation_shows_the_way_from_nothing_to_a_restore() -> None:
    starts = {tuple(words[:2]) for _, words in documented()}

    wanted = [("init",), ("pool", "add"), ("repo", "create"), ("policy", "apply"), ("repo", "import")]
    assert all(any(start[: len(want)] == want for start in starts) for want in wanted), starts
    assert {"up", "status", "backup", "restore"} <= {start[0] for start in starts}


def test_every_make_target_that_is_named_exists() -> None:
    named = {name for page in PAGES for pair in MAKE.findall(page.read_text()) for name in pair if name}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= named
    assert named <= targets


def test_every_command_says_what_it_is_for() -> None:
    def commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
        for name, sub in getattr(command, "commands", {}).items():
            yield f"{path} {name}", sub.help or ""
            yield from commands(sub, f"{path} {name}")

    silent = [name for name, help in commands(typer.main.get_command(app), "xenkeep") if len(help) < 10]
    assert [] == silent


def test_every_command_prints_json() -> None:
    def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        subs = getattr(command, "commands", None)
        if subs is None:
            yield path, command
        for name, sub in (subs or {}).items():
            yield from leaves(sub, f"{path} {name}")

    without = [
        path
        for path, command in leaves(typer.main.get_command(app), "xenkeep")
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert [] == without
