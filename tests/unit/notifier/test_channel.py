"""Which channels can be, and what goes through them."""

from dataclasses import replace

import pytest

from services.chassis.errors import InvalidInput
from services.notifier.domain.channel import Channel, check_event_types
from services.notifier.domain.notification import Severity
from services.notifier.domain.settings import Email, Settings, Sms, SmsTransport, Syslog, SyslogTransport
from tests.contract.notifier.samples import a_notification

EMAIL = Email("mail.example.org", 587, "x@example.org", ("a@example.org",))
SMS = Sms("sms.example.org", 2775, SmsTransport.TLS, "keeper", "password", "Xenkeep", ("+4915112345678",))
SYSLOG = Syslog("2001:db8::1", 514, SyslogTransport.UDP)


@pytest.mark.parametrize("settings", [EMAIL, SMS, SYSLOG])
def test_sensible_settings_make_a_channel(settings: Settings) -> None:
    assert Channel("night-shift", settings).settings == settings


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (replace(EMAIL, host="a b"), "host"),
        (replace(EMAIL, host="-oProxyCommand"), "host"),
        (replace(EMAIL, port=70000), "port 70000"),
        (replace(EMAIL, sender="Me <x@example.org>"), "sender"),
        (replace(EMAIL, recipients=()), "no recipients"),
        (replace(EMAIL, recipients=("a@example.org\r\nBcc: b@example.org",)), "recipient"),
        (replace(EMAIL, recipients=("a@example.org",) * 2), "twice"),
        (replace(EMAIL, username="keeper"), "password_file"),
        (replace(EMAIL, password_file="password"), "username"),
        (replace(SMS, recipients=("911; rm",)), "telephone number"),
        (replace(SMS, system_id="x" * 16), "system_id"),
        (replace(SMS, system_id=""), "system_id"),
        (replace(SMS, password_file=""), "password_file"),
        (replace(SYSLOG, ca_file="a\nb"), "ca_file"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: Settings, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        Channel("night-shift", settings)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"name must be.*host.*port"):
        Channel("Night Shift", Syslog("", 0, SyslogTransport.UDP))


def test_a_channel_wants_what_is_bad_enough_of_its_kinds_and_not_about_itself() -> None:
    failed = a_notification()
    worse = Channel("night-shift", SYSLOG, Severity.WARNING)
    chosen = Channel("night-shift", SYSLOG, event_types=("xenkeep.hypervisor.v1.HostFailed",))
    assert worse.wants(failed) is True
    assert worse.wants(replace(failed, severity=Severity.INFO)) is False
    assert worse.wants(replace(failed, except_channel="night-shift")) is False
    assert chosen.wants(failed) is False
    assert chosen.wants(replace(failed, event_type="xenkeep.hypervisor.v1.HostFailed")) is True


def test_a_rule_for_an_event_nobody_is_told_of_is_refused_with_the_choice() -> None:
    channel = Channel("night-shift", SYSLOG, event_types=("xenkeep.mover.v1.TransferProgressed",))
    with pytest.raises(InvalidInput, match="TransferProgressed") as refusal:
        check_event_types(channel, {"xenkeep.scheduler.v1.RunFailed"})
    assert "RunFailed" in refusal.value.hint
