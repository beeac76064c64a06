"""Who may ask a mover for what: other services look, and change nothing."""

from collections.abc import Mapping

from services.chassis.rpc.identity import EVERY, methods_of
from services.mover.__main__ import PEOPLE, REPOSITORY_CALLERS, SENDERS, TRANSFER_CALLERS

LOOKING = ("Get", "List")


def test_services_look_and_change_nothing() -> None:
    for callers in (REPOSITORY_CALLERS, TRANSFER_CALLERS):
        assert isinstance(callers, Mapping)
        asked = methods_of({name: methods for name, methods in callers.items() if name not in PEOPLE})
        assert asked
        assert [] == [method for method in asked if not method.startswith(LOOKING)]


def test_only_people_may_do_everything_and_only_movers_send_copies() -> None:
    assert {"admin": EVERY, "console": EVERY} == PEOPLE
    assert {"catalog", "scheduler"} == {*REPOSITORY_CALLERS, *TRANSFER_CALLERS} - set(PEOPLE)
    assert {"mover"} == set(SENDERS)
