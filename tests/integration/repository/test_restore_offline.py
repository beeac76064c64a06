"""A repository and one key are enough: the command line restores with no service running."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.mover.repository import DirectoryStore
from services.mover.repository.format.names import HEADER
from tests.support.waiting import PATIENCE_S, until_true
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    OPTIONS,
    PASSPHRASE,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
)

FIRST = bytes(MIB) + noise(2 * MIB + 512) + bytes(5 * MIB)
SECOND = overwritten(FIRST, {MIB: noise(BLOCK, 7), 3 * MIB: bytes(BLOCK), 6 * MIB: noise(BLOCK, 8)})
CONFIGURATION = b"the words of the pool"
PROGRAM = "from xenkeep.cli.main import main; main()"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a full point of two disks and an incremental whose chunks are patched."""
    folder = tmp_path_factory.mktemp("place")
    with new_repository(DirectoryStore(folder / "repository", create=True), folder / "cache") as repository:
        with repository.begin_backup("aaaa-first", options=OPTIONS) as session:
            add_disk(session, FIRST)
            session.stream("vm-configuration", [CONFIGURATION])
            session.commit(description())
        changed = [(MIB, BLOCK), (3 * MIB, BLOCK), (6 * MIB, BLOCK)]
        back_up(repository, "aabb-second", SECOND, base="aaaa-first", changed=changed)
    (folder / "key").write_text(PASSPHRASE + "\n")
    return folder


def xenkeep(place: Path, *arguments: str | Path, tmp: Path | None = None) -> subprocess.CompletedProcess[str]:
    """With the repository and the key of ``place``."""
    command = [sys.executable, "-c", PROGRAM, "restore", "--json", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place / "nobody")}
    environment |= {"TMPDIR": str(tmp)} if tmp else {}
    repository = ("--repository", str(place / "repository"), "--secret-file", str(place / "key"))
    return subprocess.run(
        [*command, *repository], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("point", "content"), [("aaaa", FIRST), ("aabb-second", SECOND)])
def test_a_point_becomes_sparse_images_that_are_the_disks(
    place: Path, tmp_path: Path, point: str, content: bytes
) -> None:
    done = xenkeep(place, point, "--to-directory", tmp_path / "out")
    assert 0 == done.returncode, done.stderr
    image = tmp_path / "out" / "disk-0.raw"
    assert sha256(content) == sha256(image.read_bytes())
    assert image.stat().st_blocks * 512 < len(content)
    restored = json.loads(done.stdout)["restored"]
    assert restored == json.loads((tmp_path / "out" / "restored.json").read_text())
    kept = {"disk-0.raw", "restored.json"} | ({"vm-configuration"} if content == FIRST else set())
    assert kept == set(os.listdir(tmp_path / "out"))
    if content == FIRST:
        assert CONFIGURATION == (tmp_path / "out" / "vm-configuration").read_bytes()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}


def test_without_a_point_the_points_are_listed(place: Path) -> None:
    done = xenkeep(place)
    assert 0 == done.returncode, done.stderr
    points = json.loads(done.stdout)["points"]
    assert [("aaaa-first", len(FIRST)), ("aabb-second", len(SECOND))] == [
        (point["point"], point["size_bytes"]) for point in points
    ]


def test_a_point_without_a_directory_is_listed_with_its_disks(place: Path) -> None:
    done = xenkeep(place, "aabb")
    (point,) = json.loads(done.stdout)["points"]
    assert ("aabb-second", ["d"]) == (point["point"], [disk["disk"] for disk in point["disks"]])


def test_a_disk_is_chosen_and_an_unknown_one_told(place: Path, tmp_path: Path) -> None:
    refused = xenkeep(place, "aaaa", "--to-directory", tmp_path / "out", "--disk", "d", "--disk", "1")
    error = json.loads(refused.stderr)["error"]
    assert (4, "DISK_NOT_IN_POINT") == (refused.returncode, error["reason"])
    assert not (tmp_path / "out").exists()
    done = xenkeep(place, "aaaa", "--to-directory", tmp_path / "out", "--disk", "d")
    assert [] == json.loads(done.stdout)["restored"]["left_out"]
    assert FIRST == (tmp_path / "out" / "disk-0.raw").read_bytes()


@pytest.mark.scenario(1, 45)
def test_what_a_restore_that_was_killed_leaves_is_removed_by_the_next_one(
    place: Path, tmp_path: Path
) -> None:
    """Killed with the packs of a lost index adopted, where it waits for a restore point that is a pipe."""
    shutil.copytree(place, tmp_path / "copy")
    shutil.copytree(place, tmp_path / "other")
    shutil.rmtree(tmp_path / "copy" / "repository" / "index")
    point = tmp_path / "copy" / "repository" / "points" / "aaaa-first"
    content = point.read_bytes()
    point.unlink()
    os.mkfifo(point)
    (working := tmp_path / "tmp").mkdir()
    command = [
        sys.executable,
        "-m",
        "services.mover.restore_offline",
        (tmp_path / "copy/repository").as_uri(),
    ]
    environment = os.environ | {"TMPDIR": str(working)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    ) as restore:
        assert restore.stdin is not None
        restore.stdin.write(PASSPHRASE.encode() + b"\n")
        restore.stdin.close()
        try:
            asyncio.run(until_true(lambda: any(working.glob("*/overlay/index/[0-9a-f]*"))))
            (left,) = working.iterdir()
            beside = xenkeep(tmp_path / "other", tmp=working)
            assert (0, "", True) == (beside.returncode, beside.stderr, left.exists())
        finally:
            restore.kill()
    point.unlink()
    point.write_bytes(content)
    done = xenkeep(tmp_path / "copy", "aabb", "--to-directory", tmp_path / "out", tmp=working)
    assert 0 == done.returncode, done.stderr
    assert f"Removed {left}" in " ".join(done.stderr.split())
    assert [] == [*working.iterdir()]


def test_an_ambiguous_or_unknown_point_is_told(place: Path, tmp_path: Path) -> None:
    assert 2 == xenkeep(place, "aa", "--to-directory", tmp_path / "out").returncode
    assert 4 == xenkeep(place, "zz", "--to-directory", tmp_path / "out").returncode
    assert not (tmp_path / "out").exists()


def test_a_wrong_key_and_a_missing_repository_have_their_exit_codes(place: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("not the passphrase\n")
    (tmp_path / "repository").symlink_to(place / "repository")
    refused = xenkeep(tmp_path, "aaaa", "--to-directory", tmp_path / "out")
    assert (7, "WRONG_SECRET") == (refused.returncode, json.loads(refused.stderr)["error"]["reason"])
    (tmp_path / "repository").unlink()
    (tmp_path / "repository").mkdir()
    missing = xenkeep(tmp_path, "aaaa", "--to-directory", tmp_path / "out")
    assert (4, "NOT_A_REPOSITORY") == (missing.returncode, json.loads(missing.stderr)["error"]["reason"])


HARM: dict[str, tuple[str, bytes, int, str]] = {
    "of the future": (HEADER, b'{"format":"xenkeep-repository","version":2}', 6, "REPOSITORY_OF_THE_FUTURE"),
    "with a feature": ("features/mandatory.warp", b"\n", 6, "REPOSITORY_FEATURE_UNKNOWN"),
}


@pytest.mark.parametrize("harm", sorted(HARM))
def test_what_this_release_cannot_read_is_left_as_it_is(place: Path, tmp_path: Path, harm: str) -> None:
    name, content, code, reason = HARM[harm]
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    (tmp_path / "repository" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "repository" / name).write_bytes(content)
    before = everything_in(tmp_path)
    refused = xenkeep(tmp_path, "aaaa", "--to-directory", tmp_path / "out")
    error = json.loads(refused.stderr)["error"]
    assert (code, reason) == (refused.returncode, error["reason"]) and error["hint"]
    assert before == everything_in(tmp_path)


def everything_in(folder: Path) -> dict[Path, str]:
    return {path: sha256(path.read_bytes()) if path.is_file() else "" for path in folder.rglob("*")}


def test_what_lies_in_the_directory_is_never_overwritten(place: Path, tmp_path: Path) -> None:
    (tmp_path / "disk-0.raw").write_bytes(b"precious")
    done = xenkeep(place, "aaaa", "--to-directory", tmp_path)
    assert (5, "DIRECTORY_NOT_EMPTY") == (done.returncode, json.loads(done.stderr)["error"]["reason"])
    assert b"precious" == (tmp_path / "disk-0.raw").read_bytes()


@pytest.mark.parametrize("options", [("--to-directory", "out", "--start"), ("--disk", "0")])
def test_options_that_need_something_else_are_refused_and_not_ignored(
    place: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = xenkeep(place, "aaaa", *(str(tmp_path / each) if each == "out" else each for each in options))
    assert (2, "OPTIONS_INVALID") == (done.returncode, json.loads(done.stderr)["error"]["reason"])
