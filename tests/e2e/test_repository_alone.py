"""The repository is enough: a backed up VM comes back from it and one key, with every service stopped."""

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.support.stack import Stack


def test_a_place_is_probed_and_a_key_is_replaced(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    report = stack.data("repo", "probe", tmp_path / "place")
    assert {"VERDICT_GOOD"} == {finding["verdict"] for finding in report["findings"]}
    assert [] == [path for path in (tmp_path / "place").rglob("*") if path.is_file()]

    new = tmp_path / "new-passphrase"
    new.write_text("a passphrase after the leak\n")
    added = stack.data("repo", "key", "add", "main", "--use", "--passphrase-file", new)
    assert "passphrase-2" == added["key"]["key_id"]
    left = stack.data("repo", "key", "remove", "main", "passphrase-1")
    assert ["passphrase-2", "recovery-1"] == [key["key_id"] for key in left]
    code, error = stack.refused("repo", "key", "remove", "main", "recovery-1")
    assert (6, "TOO_FEW_KEYS") == (code, error["reason"])


@pytest.mark.scenario(44)
def test_no_command_touches_a_repository_of_a_later_release(stack: Stack, tmp_path: Path) -> None:
    """A release that the movers do not know has switched a feature on, or made the repository."""
    place = Path(stack.data("repo", "show", "main")["url"].removeprefix("file://"))
    point = stack.backup("web")["result"]["point"]["point_id"]
    shutil.copytree(place, tmp_path / "of-version-2")
    header = tmp_path / "of-version-2" / "xenkeep-repository.json"
    header.write_text(header.read_text().replace('"version":1', '"version":2'))
    shutil.copytree(place, tmp_path / "flagged")
    for where in (place, tmp_path / "flagged"):
        (where / "features" / "mandatory.warp").parent.mkdir(exist_ok=True)
        (where / "features" / "mandatory.warp").touch()
    before = _everything(place), _everything(tmp_path)
    commands: list[tuple[object, ...]] = [
        ("backup", "web", "--to", "main", "--wait"),
        ("restore", point, "--wait"),
        ("point", "delete", point),
        ("repo", "verify", "main"),
        ("repo", "prune", "main"),
        ("repo", "prune", "main", "--dry-run"),
        ("repo", "rebuild", "main"),
        ("repo", "repair", "main"),
        ("repo", "stats", "main"),
        ("repo", "copy", "main", tmp_path / "copy"),
        ("repo", "key", "list", "main"),
        ("repo", "key", "add", "main", "--recovery"),
        ("repo", "key", "rotate", "main"),
        ("repo", "key", "epochs", "main"),
        ("repo", "key", "retire", "main"),
        ("repo", "import", "x", tmp_path / "flagged", "--secret-file", stack.passphrase_file),
        ("restore", "--repository", tmp_path / "flagged", "--secret-file", stack.recovery_key_file),
    ]
    future: list[tuple[object, ...]] = [
        ("repo", "import", "x", tmp_path / "of-version-2", "--secret-file", stack.passphrase_file),
        ("restore", "--repository", tmp_path / "of-version-2", "--secret-file", stack.recovery_key_file),
    ]
    try:
        for command in commands:
            told = stack.run(*command, "--json")
            assert told.code, command
            assert "warp" in told.out + told.err, (command, told)
        for command in future:
            code, error = stack.refused(*command)
            assert (6, "REPOSITORY_OF_THE_FUTURE") == (code, error["reason"])
        shown = stack.data("repo", "show", "main")
        assert ("STATE_UNAVAILABLE", True) == (shown["state"], "warp" in shown["state_message"])
        assert before == (_everything(place), _everything(tmp_path))
    finally:
        (place / "features" / "mandatory.warp").unlink()
    stack.data("repo", "verify", "main")


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.scenario(42, 45)
def test_with_all_services_stopped_the_recovery_key_restores_a_vm(stack: Stack, tmp_path: Path) -> None:
    place = stack.data("repo", "show", "main")["url"]
    point = stack.backup("web")["result"]["point"]["point_id"]
    hashes = stack.hashes("web")
    stack.stop()

    alone = ("restore", "--repository", place, "--secret-file", stack.recovery_key_file)
    assert point in [each["point"] for each in stack.data(*alone)["points"]]
    restored = stack.data(*alone, point[:8], "--to-directory", tmp_path / "out")["restored"]
    one = stack.data(*alone, point[:8], "--to-directory", tmp_path / "one", "--disk", "xvda")["restored"]

    images = [tmp_path / "out" / disk["file"] for disk in restored["disks"]]
    assert sorted(hashes) == sorted(hashlib.sha256(image.read_bytes()).hexdigest() for image in images)
    assert (tmp_path / "out" / restored["vm_configuration"]).stat().st_size > 0
    assert ["0"] == [disk["device"] for disk in one["disks"]]
    assert len(restored["disks"]) == len(one["disks"]) + len(one["left_out"])
    (system,) = (disk["file"] for disk in restored["disks"] if disk["device"] == "0")
    assert (tmp_path / "out" / system).read_bytes() == (
        tmp_path / "one" / one["disks"][0]["file"]
    ).read_bytes()
