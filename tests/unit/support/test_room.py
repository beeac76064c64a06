"""A machine without room says so before the first test, and a server that fails is heard."""

from pathlib import Path

import pytest

from tests.support.room import require_room
from tests.support.seaweed import Seaweed, tell_last_words


def test_too_little_room_is_said_with_the_way_out(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(pytest.UsageError, match="TMPDIR"):
        require_room(tmp_path, 1 << 60)


@pytest.mark.parametrize("outcome", ["failed", "passed"])
def test_a_failure_brings_the_end_of_the_servers_log(
    outcome: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("first\n" + "more\n" * 50 + "no room left\n")
    report = pytest.TestReport("a test", ("", 0, ""), {}, outcome, None, "call")  # type: ignore[arg-type]
    item = pytest.Function.from_parent(request.node.parent, name="test", callobj=lambda: None)
    item.funcargs = {"seaweed": Seaweed(tmp_path)}
    tell_last_words(item, report)
    said = "".join(text for _, text in report.sections)
    assert ("no room left" in said) == (outcome == "failed")
    assert "first" not in said
