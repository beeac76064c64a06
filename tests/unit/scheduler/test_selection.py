"""Which VMs a selector means."""

from dataclasses import replace

from services.scheduler.domain.policy import Selector
from services.scheduler.domain.selection import select
from tests.unit.scheduler.fakes import vm

WEB, DB, MAIL = vm("web", tags=["prod"]), vm("db", tags=["prod", "sql"]), vm("mail")
ALL = [WEB, DB, MAIL]


def test_a_vm_matches_by_name_uuid_resource_name_or_tag() -> None:
    for selector in (Selector(vms=("web",)), Selector(vms=("uuid-web",)), Selector(vms=(WEB.name,))):
        assert select(selector, ALL).vms == (WEB,)
    assert select(Selector(tags=("sql",)), ALL).vms == (DB,)


def test_exclusions_win() -> None:
    assert select(Selector(all=True, vms=("web",), excluded_vms=("web", "gone")), ALL).vms == (DB, MAIL)


def test_a_vm_that_matches_twice_is_selected_once_in_order_of_names() -> None:
    assert select(Selector(vms=("web", "uuid-web"), tags=("prod",)), ALL).vms == (DB, WEB)


def test_names_nobody_has_are_reported_once_each() -> None:
    selection = select(Selector(vms=("gone", "web", "lost", "gone")), ALL)
    assert selection.missing == ("gone", "lost")


def test_an_excluded_vm_that_is_named_is_not_missing() -> None:
    selection = select(Selector(vms=("web",), excluded_vms=("web",)), ALL)
    assert (selection.vms, selection.missing) == ((), ())


def test_templates_are_selected_as_such_or_by_name_and_no_other_way() -> None:
    golden = replace(vm("golden", tags=["prod"]), template=True)
    named_as_a_vm = replace(vm("mail"), name="pools/p/vms/other", template=True)
    everything = [*ALL, golden, named_as_a_vm]
    assert select(Selector(all=True, tags=("prod",)), everything).vms == (DB, MAIL, WEB)
    assert select(Selector(templates=True), everything).vms == (golden, named_as_a_vm)
    assert select(Selector(vms=("golden", "mail")), everything).vms == (golden, MAIL)
