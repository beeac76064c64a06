"""What people see of a repository alone."""

import io
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from xenkeep.cli.offline_shown import point_shown, points_shown, restored_shown


def _disk(device: str, label: str, damage: str = "") -> dict[str, Any]:
    uuid = f"uuid-of-{label}"
    return {"device": device, "label": label, "disk": uuid, "size_bytes": 1 << 30, "damage": damage}


MISSING = {"device": None, "label": "", "disk": "uuid-5", "message": "It could not be read."}
POINT: dict[str, Any] = {
    "point": "p-1",
    "asset": {"name": "web"},
    "snapshot_time": "2026-11-23T00:00:00Z",
    "consistency": "crash",
    "size_bytes": 2 << 30,
    "damage": "A pack is lost.",
    "disks": [_disk("0", "system"), _disk("1", "da\x1b[2Jta", "A pack is lost.")],
    "files": [{"file": "database.xml", "size_bytes": 5}],
    "vm_configuration": None,
    "missing_disks": [MISSING],
}


def _text(shown: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    assert "\x1b" not in out.getvalue()
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_a_list_of_points_names_their_disks_as_they_are_chosen() -> None:
    many = POINT | {"disks": [_disk(str(n), "d") for n in range(9)]}
    unreadable = {"point": "p-2", "damage": "It is no point."}
    lines = _text(points_shown([POINT, many, unreadable]))
    assert "p-1 web 2026-11-23T00:00:00Z 0 system, 1 da\ufffd[2Jta 2.0 GiB A pack is lost." in lines
    assert "p-1 web 2026-11-23T00:00:00Z 0 d, 1 d, 2 d, 3 d and 5 more 2.0 GiB A pack is lost." in lines
    assert "p-2 0 B It is no point." in lines


def test_a_point_tells_each_disk_what_is_wrong_with_it_and_what_is_missing() -> None:
    lines = _text(point_shown(POINT))
    assert "0 system uuid-of-system 1.0 GiB" in lines
    assert any("1.0 GiB A pack is lost." in line for line in lines)
    assert "Missing uuid-5: It could not be read." in lines
    assert "File database.xml 5 B" in lines
    assert "Configuration none was stored" in lines


def test_a_point_that_cannot_be_read_says_so() -> None:
    lines = _text(point_shown({"point": "p-2", "damage": "It is no point."}))
    assert ["Restore point p-2", "Damage It is no point."] == lines


def test_a_restore_of_some_disks_tells_what_was_left_out() -> None:
    left = [
        _disk("1", "data") | {"message": "It was not chosen."},
        {"file": "guest.log", "message": "Disks were chosen."},
        MISSING,
    ]
    restored = POINT | {"disks": [_disk("0", "system") | {"file": "disk-0.raw"}], "left_out": left}
    lines = _text(restored_shown(restored | {"notices": [{"message": "A notice."}]}, Path("/out")))
    assert "disk-0.raw 0 system 1.0 GiB" in lines
    assert "Left out disk 1 data: It was not chosen." in lines
    assert "Left out guest.log: Disks were chosen." in lines
    assert "Left out disk uuid-5: It could not be read." in lines
    assert "Notice A notice." in lines
