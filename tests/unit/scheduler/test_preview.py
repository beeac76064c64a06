"""What a run of a policy would do, told before."""

from dataclasses import replace

import pytest

from services.chassis.errors import FailedPrecondition, NotFound
from services.scheduler.domain.capture import Capture, Memory, Offline, Requirement
from services.scheduler.domain.groups import Grouping, VmGroup
from services.scheduler.domain.policy import Method, Policy, Selector
from services.scheduler.domain.preview import VmPreview, preview
from services.scheduler.domain.selection import MethodCheck, Vm
from services.scheduler.wire.preview import preview_to_proto
from tests.unit.scheduler.fakes import World, vm

CHECKS = (
    MethodCheck("normal", "", "crash"),
    MethodCheck("offline", "it has no tools", "powered_off", "offline.force"),
    MethodCheck("memory", "it is a domain controller", "memory", "memory.domain_controllers"),
    MethodCheck("quiesced", "there is no agent", "application"),
)
WEB = replace(vm("web"), checks=CHECKS)


def _told(method: Method, capture: Capture | None = None, of: Vm = WEB) -> VmPreview:
    policy = Policy("p", Selector(all=True), "main", method, capture=capture or Capture())
    return preview(policy, of, "")


def test_a_method_that_can_be_used_is_used() -> None:
    assert VmPreview(WEB, Method.NORMAL, "crash") == _told(Method.NORMAL)


@pytest.mark.parametrize("method", [Method.OFFLINE, Method.MEMORY, Method.QUIESCED])
def test_one_that_cannot_fails_with_the_reason(method: Method) -> None:
    told = _told(method)
    assert (None, "") == (told.method, told.consistency)
    assert next(check.obstacle for check in CHECKS if check.method == method.value) in told.message


@pytest.mark.parametrize(
    ("method", "capture"),
    [
        (Method.MEMORY, Capture(memory=Memory(Requirement.PREFER))),
        (Method.QUIESCED, Capture(quiesce=Requirement.PREFER)),
    ],
)
def test_one_that_is_preferred_becomes_a_normal_one_and_says_why(method: Method, capture: Capture) -> None:
    told = _told(method, capture)
    assert (Method.NORMAL, "crash") == (told.method, told.consistency)
    assert told.message.startswith(f"Not {method.value}, because")


@pytest.mark.parametrize(
    ("method", "capture"),
    [
        (Method.OFFLINE, Capture(offline=Offline(force=True))),
        (Method.MEMORY, Capture(memory=Memory(domain_controllers=True))),
    ],
)
def test_an_option_of_the_policy_may_allow_it(method: Method, capture: Capture) -> None:
    assert (method, "") == (_told(method, capture).method, _told(method, capture).message)


def test_nothing_is_made_up_for_a_service_that_says_nothing() -> None:
    assert "says nothing" in _told(Method.MEMORY, of=replace(WEB, checks=())).message


async def test_a_policy_is_previewed_with_its_groups_and_what_it_misses() -> None:
    world = World(WEB, replace(vm("db"), checks=CHECKS), vm("other"))
    grouping = Grouping(groups=(VmGroup("shop", ("web", "db")),))
    await world.policy(selector=Selector(vms=("web", "db", "gone")), grouping=grouping)
    told = preview_to_proto(await world.policies.preview("nightly", ""))
    assert ["db", "web"] == [each.vm_display_name for each in told.vms]
    assert {"shop"} == {each.group for each in told.vms}
    assert ["gone"] == list(told.missing)
    [one] = (await world.policies.preview("nightly", WEB.vm_id)).vms
    assert "web" == one.vm.display_name


async def test_what_a_run_would_refuse_its_preview_refuses() -> None:
    world = World(vm("web", tags=["a", "b"]))
    groups = (VmGroup("one", tags=("a",)), VmGroup("two", tags=("b",)))
    await world.policy(grouping=Grouping(groups=groups))
    with pytest.raises(FailedPrecondition):
        await world.policies.preview("nightly", "")
    with pytest.raises(NotFound):
        await world.policies.preview("unknown", "")
