"""The repository is enough: a backed up VM comes back from it and one key, with every service stopped."""

import hashlib
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


@pytest.mark.scenario(42, 45)
def test_with_all_services_stopped_the_recovery_key_restores_a_vm(stack: Stack, tmp_path: Path) -> None:
    place = stack.data("repo", "show", "main")["url"]
    point = stack.backup("web")["result"]["point"]["point_id"]
    hashes = stack.hashes("web")
    stack.stop()

    alone = ("restore", "--repository", place, "--secret-file", stack.recovery_key_file)
    assert [point] == [each["point"] for each in stack.data(*alone)["points"]]
    restored = stack.data(*alone, point[:8], "--to-directory", tmp_path / "out")["restored"]

    images = [tmp_path / "out" / disk["file"] for disk in restored["disks"]]
    assert sorted(hashes) == sorted(hashlib.sha256(image.read_bytes()).hexdigest() for image in images)
    assert (tmp_path / "out" / restored["vm_configuration"]).stat().st_size > 0
