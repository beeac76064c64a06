"""VMs captured at one moment, by a policy and by hand: bytes compared, all of them or none."""

from typing import Any

from tests.support.stack import REPOSITORY, Stack

POLICY = """
name: shop
repository: main
vms: [web, db, spare]
groups: [{name: shop, vms: [db], tags: [front]}]
"""


def _points(tasks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {task["subject_display_name"]: task["result"]["point"] for task in tasks}


def test_the_points_of_a_group_share_their_moment_and_restore(stack: Stack) -> None:
    (stack.folder / "shop.yaml").write_text(POLICY)
    stack.ok("policy", "apply", stack.folder / "shop.yaml")
    assert "shop" in stack.ok("policy", "show", "shop")

    planned = {each["vm_display_name"]: each for each in stack.data("policy", "preview", "shop")["vms"]}
    assert ("METHOD_NORMAL", "shop") == (planned["web"]["method"], planned["web"]["group"])
    assert "CONSISTENCY_POWERED_OFF" == planned["spare"]["consistency"]
    assert "crash, with group shop" in stack.ok("vm", "show", "web")

    run = stack.data("run", "start", "shop", "--wait")

    groups = {task["subject_display_name"]: task.get("group", "") for task in run["tasks"]}
    assert {"web": "shop", "db": "shop", "spare": ""} == groups
    points = _points(run["tasks"])
    assert points["web"]["group"] == points["db"]["group"]
    assert (2, True) == (
        points["web"]["group"]["vm_count"],
        points["web"]["group"]["spread_milliseconds"] >= 0,
    )
    assert not points["spare"].get("group")
    shown = stack.data("point", "show", points["web"]["point_id"])["point"]
    assert points["web"]["group"] == shown["group"]
    assert "with 1 other VM, at most" in stack.ok("point", "show", points["web"]["point_id"])
    stack.wait_until_nothing_is_left()
    for name in ("web", "db"):
        stack.data("restore", points[name]["point_id"], "--name", f"{name} again", "--wait")
        assert stack.hashes(name) == stack.hashes(f"{name} again")


def test_a_group_by_hand_is_incremental_where_it_can_be(stack: Stack) -> None:
    for _ in range(2):
        run = stack.data("backup", "web", "db", "--to", REPOSITORY, "--group", "--wait")
    points = _points(run["tasks"])
    assert {"LEVEL_INCREMENTAL"} == {point["level"] for point in points.values()}
    assert 1 == len({point["group"]["group_id"] for point in points.values()})


def test_if_one_cannot_be_captured_none_is(stack: Stack) -> None:
    before = len(stack.data("point", "list"))
    ran = stack.run(
        "backup", "web", "spare", "--to", REPOSITORY, "--group", "--method", "memory", "--wait", "--json"
    )
    assert ran.code != 0
    assert "of the group could not be captured" in ran.out
    assert before == len(stack.data("point", "list"))
    stack.wait_until_nothing_is_left()
