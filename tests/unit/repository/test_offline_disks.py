"""Some disks of a point, from its repository alone: only they are needed, what is left out is told."""

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.repository import BackupSession, DirectoryStore, DiskRequest
from services.mover.restore_offline import main
from tests.unit.repository.world import (
    MIB,
    OPTIONS,
    PASSPHRASE,
    MemoryDisk,
    description,
    new_repository,
    noise,
)

CONTENTS = {
    "id-system": noise(MIB, 1),
    "id-data": noise(2 * MIB, 2),
    "id-more": noise(3 * MIB, 3),
    "vm-configuration": noise(3000, 4),
    "guest.log": b"words",
}
NAMES = {"id-system": ("0", "system"), "id-data": ("1", "data"), "id-more": ("2", "data")}
MISSING = {"disk_id": "id-gone", "device": "5", "display_name": "gone", "message": "It could not be read."}

Run = Callable[..., tuple[int, dict[str, Any]]]


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Place:
    """A repository, and the packs that hold what only one disk or the configuration has."""

    folder: Path
    packs: dict[str, set[str]]

    def damage(self, what: str) -> None:
        for name in self.packs[what]:
            pack = self.folder / name
            pack.chmod(0o600)
            pack.write_bytes(bytes(pack.stat().st_size))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Holds one point of three disks, a configuration and a log; a fourth disk could not be read.

    Earlier points have what may get damaged in packs of its own.
    """
    folder = tmp_path_factory.mktemp("made")
    place = Place(folder / "repository", {})
    store = DirectoryStore(place.folder, create=True)
    with new_repository(store, folder / "cache", MIB // 4, MIB) as repository:
        for what, kind in (("id-data", "data"), ("vm-configuration", "meta")):
            before = set(place.folder.glob(f"packs/{kind}/*/*"))
            with repository.begin_backup(f"earlier-{what}", options=OPTIONS) as session:
                _add(session, what)
                session.commit(description())
            packs = set(place.folder.glob(f"packs/{kind}/*/*")) - before
            place.packs[what] = {str(path.relative_to(place.folder)) for path in packs}
            assert packs
        with repository.begin_backup("point", options=OPTIONS) as session:
            for what in CONTENTS:
                _add(session, what)
            devices = {disk_id: device for disk_id, (device, _) in NAMES.items()}
            session.commit(description(document={"devices": devices, "missing_disks": [MISSING]}))
    return place


def _add(session: BackupSession, what: str) -> None:
    content = CONTENTS[what]
    if what in NAMES:
        session.disk(DiskRequest(what, len(content), label=NAMES[what][1]), MemoryDisk(content))
    else:
        session.stream(what, [content])


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    shutil.copytree(made.folder, tmp_path / "repository")
    return Place(tmp_path / "repository", made.packs)


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program, and the last thing it says."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSPHRASE + "\n"))
        monkeypatch.setattr("signal.signal", lambda *_: None)
        code = main([place.folder.as_uri(), *arguments])
        said = capsys.readouterr()
        last: dict[str, Any] = json.loads((said.err if code else said.out).splitlines()[-1])
        return code, last

    return run


@pytest.fixture
def restore(run: Run, tmp_path: Path) -> Run:
    """Of the point, into ``out``, of the disks that are named."""

    def restore(*disks: str) -> tuple[int, dict[str, Any]]:
        options = [f"--disk={disk}" for disk in disks]
        return run("--point", "point", "--to-directory", str(tmp_path / "out"), *options)

    return restore


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def _left(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.get("disk") or each["file"], each["reason"]) for each in told["restored"]["left_out"]]


def test_chosen_disks_are_written_with_the_configuration_and_what_is_left_out_is_told(
    restore: Run, out: Path
) -> None:
    code, told = restore("id-more", "xvda")
    assert 0 == code, told
    assert {"disk-0.raw", "disk-2.raw", "vm-configuration", "restored.json"} == set(os.listdir(out))
    for file, what in (("disk-0.raw", "id-system"), ("disk-2.raw", "id-more"), ("vm-configuration",) * 2):
        assert CONTENTS[what] == (out / file).read_bytes()
    assert told["restored"] == json.loads((out / "restored.json").read_text())
    assert ["id-system", "id-more"] == [disk["disk"] for disk in told["restored"]["disks"]]
    expected = [("id-data", "NOT_CHOSEN"), ("guest.log", "NOT_CHOSEN"), ("id-gone", "NOT_IN_POINT")]
    assert expected == _left(told)


def test_a_whole_restore_tells_the_disk_that_the_backup_could_not_read(restore: Run, out: Path) -> None:
    _, told = restore()
    assert [("id-gone", "NOT_IN_POINT")] == _left(told)
    assert (3, b"words") == (len(told["restored"]["disks"]), (out / "guest.log").read_bytes())


@pytest.mark.parametrize(
    ("disks", "code", "reason"),
    [
        (("0", "7"), 4, "DISK_NOT_IN_POINT"),
        (("gone",), 4, "DISK_NOT_IN_POINT"),
        (("data",), 2, "DISK_AMBIGUOUS"),
    ],
)
def test_a_choice_that_cannot_be_met_writes_nothing(
    restore: Run, out: Path, disks: tuple[str, ...], code: int, reason: str
) -> None:
    refused, told = restore(*disks)
    assert (code, reason) == (refused, told["error"]["reason"])
    assert not out.exists()


def test_a_choice_without_a_directory_is_refused(run: Run) -> None:
    code, told = run("--point", "point", "--disk", "0")
    assert (2, "DIRECTORY_MISSING") == (code, told["error"]["reason"])


def test_only_the_chosen_disks_need_room(restore: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(out.parent)._replace(free=2 * MIB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: room)
    assert 10 == restore("0", "1")[0]
    assert not out.exists()
    assert 0 == restore("0")[0]


def test_killed_between_two_chosen_disks_the_same_choice_goes_on_and_another_is_refused(
    restore: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = RestoreFolder.complete

    def die(folder: RestoreFolder, name: str) -> None:
        complete(folder, name)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RestoreFolder, "complete", die)
        with pytest.raises(Killed):
            restore("0", "2")
    inode = (out / "disk-0.raw").stat().st_ino
    for other in ((), ("0",), ("0", "1")):
        code, told = restore(*other)
        assert (5, "DIRECTORY_NOT_EMPTY") == (code, told["error"]["reason"])
    assert 0 == restore("2", "0")[0]
    assert inode == (out / "disk-0.raw").stat().st_ino
    assert CONTENTS["id-more"] == (out / "disk-2.raw").read_bytes()
    assert not (out / "disk-1.raw").exists()


def test_a_chosen_disk_that_reads_back_differently_is_not_called_restored(
    restore: Run, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = RawImage.sync

    def spoil(image: RawImage) -> None:
        image.write(100, bytes([CONTENTS["id-data"][100] ^ 1]))
        sync(image)

    monkeypatch.setattr(RawImage, "sync", spoil)
    code, told = restore("1")
    assert (12, "WRITTEN_DISK_DIFFERS") == (code, told["error"]["reason"])
    assert not (out / "disk-1.raw").exists() and not (out / "restored.json").exists()


def test_disks_that_are_whole_come_out_of_a_point_that_is_not(
    place: Place, run: Run, restore: Run, out: Path
) -> None:
    place.damage("id-data")
    assert 12 == restore("1")[0]  # found by reading, and recorded
    shutil.rmtree(out)

    code, told = restore("0", "1")
    assert (12, "POINT_DAMAGED") == (code, told["error"]["reason"])
    assert "id-data" in told["error"]["message"]
    assert not out.exists()
    code, told = restore()
    assert (12, True) == (code, "--disk" in told["error"]["hint"])
    assert not out.exists()

    assert 0 == restore("0", "2")[0]
    assert CONTENTS["id-system"] == (out / "disk-0.raw").read_bytes()
    (listed,) = run("--point", "point")[1]["points"]
    assert ["id-data"] == [disk["disk"] for disk in listed["disks"] if disk["damage"]]
    assert listed["damage"]


def test_a_lost_configuration_keeps_no_chosen_disk_back(place: Place, restore: Run, out: Path) -> None:
    place.damage("vm-configuration")
    code, told = restore("1")
    assert 0 == code, told
    assert ("vm-configuration", "REPOSITORY_DAMAGED") in _left(told)
    assert None is told["restored"]["vm_configuration"]
    assert CONTENTS["id-data"] == (out / "disk-1.raw").read_bytes()
    shutil.rmtree(out)
    assert 12 == restore()[0]


def test_the_list_tells_each_points_disks_and_files(run: Run) -> None:
    code, told = run()
    assert 0 == code
    points = {point["point"]: point for point in told["points"]}
    assert {"point", "earlier-id-data", "earlier-vm-configuration"} == set(points)
    assert points["point"] == run("--point", "poi")[1]["points"][0]
    disks = [(each["device"], each["label"], each["disk"], each["file"]) for each in points["point"]["disks"]]
    assert [
        ("0", "system", "id-system", "disk-0.raw"),
        ("1", "data", "id-data", "disk-1.raw"),
        ("2", "data", "id-more", "disk-2.raw"),
    ] == disks
    assert [{"file": "guest.log", "size_bytes": 5}] == points["point"]["files"]
    assert ["id-gone"] == [disk["disk"] for disk in points["point"]["missing_disks"]]
