"""SmtpSink against aiosmtpd, and against relays that refuse."""

from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.smtp_sink import SmtpSink
from services.notifier.domain.settings import Email
from tests.contract.notifier.samples import a_delivery, a_notification
from tests.contract.notifier.smtp_peer import smtp_peer

ADMIN = "admin@example.org"


def sink(
    files: ChannelFiles,
    port: int,
    *,
    ca: str = "ca.pem",
    username: str = "",
    password_file: str = "",
    host: str = "localhost",
) -> SmtpSink:
    settings = Email(host, port, "xenkeep@example.org", (ADMIN,), username, password_file, ca)
    return SmtpSink(settings, files, hostname="keeper.example.org", deadline_s=5)


async def test_a_mail_goes_by_starttls_and_is_confirmed(pki_dir: Path, channel_files: ChannelFiles) -> None:
    async with smtp_peer(pki_dir) as relay:
        receipt = await sink(channel_files, relay.port).deliver(a_delivery())
        [(recipients, mail)] = relay.mails
    assert receipt.confirmed is True
    assert receipt.detail == "The mail server took it: 2.0.0 queued as 1"
    assert recipients == [ADMIN]
    assert mail["Subject"] == "[FAIL] nightly: 1 of 3 VMs was not backed up"
    assert mail["Message-ID"] == "<delivery-1@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    plain, rich = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None and rich is not None
    assert plain.get_content().splitlines() == [
        "nightly: 1 of 3 VMs was not backed up",
        "",
        "When: 2026-03-01 02:30:00 UTC",
        "Failed: db-1: the host went away",
        "Event: xenkeep.scheduler.v1.RunFailed 6b0f4f0e-0000-4000-8000-000000000001",
        "",
        "What to do: Read why in the run's tasks and retry it.",
    ]
    assert "<b>nightly</b>" in rich.get_content()


async def test_every_attempt_is_the_same_mail_and_an_incident_is_one_thread(
    pki_dir: Path, channel_files: ChannelFiles
) -> None:
    async with smtp_peer(pki_dir) as relay:
        await sink(channel_files, relay.port).deliver(a_delivery())
        await sink(channel_files, relay.port).deliver(a_delivery())
        await sink(channel_files, relay.port).deliver(a_delivery(delivery_id="delivery-2"))
        first, again, other = [mail for _, mail in relay.mails]
    assert first.as_bytes() == again.as_bytes()
    assert other["Message-ID"] != first["Message-ID"]
    assert other["References"] == first["References"] == first["In-Reply-To"]


async def test_hostile_names_make_neither_headers_nor_html(
    pki_dir: Path, channel_files: ChannelFiles
) -> None:
    evil = a_notification(about="x\r\nBcc: all@example.org\r\n", headline="<script>alert(1)</script> größer")
    async with smtp_peer(pki_dir) as relay:
        await sink(channel_files, relay.port).deliver(a_delivery(notification=evil))
        [(recipients, mail)] = relay.mails
    rich = mail.get_body(("html",))
    assert recipients == [ADMIN]
    assert mail["Bcc"] is None
    subject = "[FAIL] x Bcc: all@example.org: <script>alert(1)</script> größer"
    assert mail["Subject"].split() == subject.split()
    assert rich is not None
    assert "<script>" not in rich.get_content()


async def test_the_login_happens_within_tls(pki_dir: Path, channel_files: ChannelFiles) -> None:
    async with smtp_peer(pki_dir, login=True) as relay:
        await sink(channel_files, relay.port, username="keeper", password_file="password.txt").deliver(
            a_delivery()
        )
        assert relay.logins == [b"keeper"]
        assert len(relay.mails) == 1


async def test_a_wrong_password_is_said_to_be_one_and_not_told(
    pki_dir: Path, channel_files: ChannelFiles
) -> None:
    async with smtp_peer(pki_dir, login=True) as relay:
        with pytest.raises(FailedPrecondition, match="535") as refusal:
            await sink(channel_files, relay.port, username="stranger", password_file="password.txt").deliver(
                a_delivery()
            )
        assert relay.mails == []
    assert refusal.value.reason == "PEER_LOGIN"
    assert "hunter2" not in str(refusal.value)


async def test_a_relay_without_starttls_gets_nothing(pki_dir: Path, channel_files: ChannelFiles) -> None:
    async with smtp_peer(pki_dir, starttls=False) as relay:
        with pytest.raises(FailedPrecondition, match="STARTTLS"):
            await sink(channel_files, relay.port).deliver(a_delivery())
        assert relay.mails == []


@pytest.mark.parametrize(("ca", "host"), [("stranger.pem", "localhost"), ("ca.pem", "127.0.0.2")])
async def test_a_relay_that_cannot_prove_its_name_gets_nothing(
    pki_dir: Path, channel_files: ChannelFiles, ca: str, host: str
) -> None:
    async with smtp_peer(pki_dir, bind="0.0.0.0") as relay:
        with pytest.raises(Unavailable, match="not trusted"):
            await sink(channel_files, relay.port, ca=ca, host=host).deliver(a_delivery())
        assert relay.mails == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("550 5.1.1 no such user\r\n", FailedPrecondition), ("451 4.7.1 greylisted, come back", Unavailable)],
)
async def test_a_refused_recipient_says_whether_a_repetition_may_help(
    pki_dir: Path, channel_files: ChannelFiles, answer: str, kind: type[Exception]
) -> None:
    async with smtp_peer(pki_dir) as relay:
        relay.refusals[ADMIN] = answer
        with pytest.raises(kind, match=answer[:3]):
            await sink(channel_files, relay.port).deliver(a_delivery())
