"""A restore from a repository alone makes good what it can, and writes nothing of it to the repository."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.mover.adapters.stores import Stores
from services.mover.repository import open_repository
from services.mover.repository.format.names import HEADER
from services.mover.restore_offline import main
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    PASSPHRASE,
    back_up,
    flipped,
    new_repository,
    noise,
    overwritten,
)

A = noise(3 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository in a directory, with two points of a disk."""
    place = tmp_path / "repository"
    store = Stores(None, None).open(place.as_uri(), create=True)
    with new_repository(store, tmp_path / "cache", MIB // 4, MIB) as repository:
        back_up(repository, "a", A)
        back_up(repository, "b", B, base="a", changed=[(BLOCK, BLOCK)])
    return place


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program, and the last thing it says."""

    def run(*arguments: object, secret: str = PASSPHRASE) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
        monkeypatch.setattr("signal.signal", lambda *_: None)
        code = main([*map(str, arguments)])
        said = capsys.readouterr()
        last: dict[str, Any] = json.loads((said.err if code else said.out).splitlines()[-1])
        return code, last

    return run


def _content(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def _lose_header(place: Path) -> None:
    (place / HEADER).unlink()


def _damage_header(place: Path) -> None:
    header = place / HEADER
    header.chmod(0o600)
    header.write_bytes(header.read_bytes().replace(b"block_bytes", b"block_bites"))


def _lose_index(place: Path) -> None:
    for segment in (place / "index").iterdir():
        segment.unlink()


def _damage_index(place: Path) -> None:
    for segment in (place / "index").iterdir():
        segment.chmod(0o600)
        segment.write_bytes(flipped(segment.read_bytes(), -2))


def _lose_epochs(place: Path) -> None:
    for epoch in (place / "epochs").iterdir():
        epoch.unlink()


@pytest.mark.scenario(32, 33, 45)
@pytest.mark.parametrize(
    ("losses", "codes"),
    [
        ([], set()),
        ([_lose_header], {"HEADER_LOST"}),
        ([_damage_header], {"HEADER_LOST"}),
        ([_lose_index], {"PACKS_ADOPTED"}),
        ([_damage_index], {"PACKS_ADOPTED"}),
        ([_lose_epochs, _lose_index, _lose_header], {"PACKS_ADOPTED", "HEADER_LOST"}),
    ],
)
def test_packs_keys_and_points_are_enough_and_stay_as_they_are(
    place: Path, tmp_path: Path, run: Run, losses: list[Callable[[Path], None]], codes: set[str]
) -> None:
    for lose in losses:
        lose(place)
    before = _content(place)

    code, listed = run(place.as_uri())
    assert (0, ["a", "b"]) == (code, [point["point"] for point in listed["points"]])
    for point, content in (("a", A), ("b", B)):
        code, told = run(place.as_uri(), "--point", point, "--to-directory", tmp_path / point)
        assert 0 == code, told
        assert content == (tmp_path / point / "disk-0.raw").read_bytes()
        assert codes <= {notice["code"] for notice in told["restored"]["notices"]}
        assert bool(codes) == bool(told["restored"]["notices"])
    assert before == _content(place)


@pytest.mark.parametrize("lose", [_lose_header, _damage_header])
def test_a_lost_header_is_written_again_by_a_key(
    place: Path, tmp_path: Path, run: Run, lose: Callable[[Path], None]
) -> None:
    before = _content(place)
    lose(place)
    code, told = run(place.as_uri(), "--repair-header", secret="wrong")
    assert (7, "WRONG_SECRET") == (code, told["error"]["reason"])
    assert (0, {"repaired": HEADER}) == run(place.as_uri(), "--repair-header")
    assert before == _content(place)
    code, told = run(place.as_uri(), "--repair-header")
    assert (2, "HEADER_IN_ORDER") == (code, told["error"]["reason"])
    open_repository(Stores(None, None).open(place.as_uri()), PASSPHRASE, tmp_path / "other").close()


def test_without_a_place_for_working_files_it_says_what_to_set(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    code, told = run(place.as_uri())
    assert (10, "NO_WORKING_DIRECTORY", True) == (
        code,
        told["error"]["reason"],
        "TMPDIR" in told["error"]["hint"],
    )
