"""Pool, repository, backup, restore: as the README tells it, by the command line alone."""

from tests.support.stack import Stack


def test_a_vm_is_backed_up_and_comes_back_as_a_new_one(stack: Stack) -> None:
    task = stack.backup("web")
    assert "STATE_SUCCEEDED" == task["state"]
    point = task["result"]["point"]["point_id"]

    run = stack.data("restore", point[:8], "--name", "web again", "--wait")

    restored = run["tasks"][0]["result"]["vm"]
    assert stack.hashes("web") == stack.hashes(restored)
    assert "web again" == stack.data("vm", "show", "web again")["display_name"]
