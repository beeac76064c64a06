"""SyslogSink against a real rsyslogd."""

import pytest

from services.chassis.errors import Unavailable
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.syslog_sink import SyslogSink
from services.notifier.domain.settings import Syslog, SyslogTransport
from tests.contract.notifier.rsyslog_peer import HAS_TLS, Rsyslog
from tests.contract.notifier.samples import a_delivery, a_notification
from tests.contract.notifier.tls_front import tls_front

ODD = a_notification(
    about='we"ird\\]name\nwith a second line',
    headline="Größe ändern – 日本",
    details=(("Line\r\n", "a\x00b\u202ec"),),
)


def sink(files: ChannelFiles, port: int, transport: SyslogTransport, ca: str = "ca.pem") -> SyslogSink:
    settings = Syslog("127.0.0.1", port, transport, ca if transport is SyslogTransport.TLS else "")
    return SyslogSink(settings, files, hostname="keeper", deadline_s=10)


@pytest.mark.parametrize("transport", [SyslogTransport.UDP, SyslogTransport.TCP])
async def test_rsyslog_parses_every_field_of_the_message(
    rsyslog: Rsyslog, channel_files: ChannelFiles, transport: SyslogTransport
) -> None:
    port = rsyslog.udp_port if transport is SyslogTransport.UDP else rsyslog.tcp_port
    receipt = await sink(channel_files, port, transport).deliver(a_delivery())
    [message] = await rsyslog.parsed()
    assert receipt.confirmed is False
    assert message == {
        "pri": "131",
        "version": "1",
        "time": "2026-03-01T02:30:00.000000Z",
        "hostname": "keeper",
        "app": "xenkeep",
        "msgid": "RunFailed",
        "data": '[xenkeep@32473 delivery="delivery-1" event="6b0f4f0e-0000-4000-8000-000000000001"'
        ' type="xenkeep.scheduler.v1.RunFailed"'
        ' incident="policies/nightly" about="nightly" severity="ERROR"]',
        "msg": "\ufeff[FAIL] nightly: 1 of 3 VMs was not backed up. Failed: db-1: the host went away."
        " Read why in the run's tasks and retry it.",
    }


async def test_hostile_names_stay_inside_their_field(rsyslog: Rsyslog, channel_files: ChannelFiles) -> None:
    await sink(channel_files, rsyslog.tcp_port, SyslogTransport.TCP).deliver(a_delivery(notification=ODD))
    await sink(channel_files, rsyslog.tcp_port, SyslogTransport.TCP).deliver(a_delivery())
    first, second = await rsyslog.parsed(2)
    assert 'about="we\\"ird\\\\\\]name with a second line"' in first["data"]
    assert "Größe ändern – 日本. Line: a b c. " in first["msg"]
    assert second["msgid"] == "RunFailed"


async def test_tls_ends_with_close_notify_and_the_message_arrives(
    rsyslog: Rsyslog, channel_files: ChannelFiles
) -> None:
    async with tls_front(rsyslog.directory, rsyslog.tcp_port) as front:
        receipt = await sink(channel_files, front.port, SyslogTransport.TLS).deliver(a_delivery())
        assert await front.ends.get() == "close_notify"
    [message] = await rsyslog.parsed()
    assert message["msgid"] == "RunFailed"
    assert "close_notify" in receipt.detail


@pytest.mark.skipif(not HAS_TLS, reason="Debian's rsyslog-openssl is not installed")
async def test_rsyslog_itself_takes_tls_without_a_complaint(
    rsyslog: Rsyslog, channel_files: ChannelFiles
) -> None:
    await sink(channel_files, rsyslog.tls_port, SyslogTransport.TLS).deliver(a_delivery())
    await rsyslog.parsed()
    assert "nsd_ossl" not in rsyslog.complaints()


async def test_a_certificate_of_a_stranger_is_refused_before_anything_is_said(
    rsyslog: Rsyslog, channel_files: ChannelFiles
) -> None:
    async with tls_front(rsyslog.directory, rsyslog.tcp_port) as front:
        with pytest.raises(Unavailable, match="not trusted") as refusal:
            await sink(channel_files, front.port, SyslogTransport.TLS, "stranger.pem").deliver(a_delivery())
        await front.ends.get()
        assert front.received == [b""]
    assert refusal.value.reason == "PEER_NOT_TRUSTED"


@pytest.mark.parametrize(("transport", "limit"), [(SyslogTransport.UDP, 2048), (SyslogTransport.TCP, 8192)])
async def test_a_message_that_is_too_long_is_cut_and_says_so(
    rsyslog: Rsyslog, channel_files: ChannelFiles, transport: SyslogTransport, limit: int
) -> None:
    long = a_notification(details=tuple((f"VM {n}", "ü" * 100) for n in range(60)))
    port = rsyslog.udp_port if transport is SyslogTransport.UDP else rsyslog.tcp_port
    receipt = await sink(channel_files, port, transport).deliver(a_delivery(notification=long))
    [message] = await rsyslog.parsed()
    sent = int(receipt.detail.split("; cut from ")[1].split()[2])
    assert limit - 1 <= sent <= limit
    assert "VM 0: ü" in message["msg"]
    assert "\ufffd" not in message["msg"]
