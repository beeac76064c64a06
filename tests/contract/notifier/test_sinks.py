"""The law of `Sink`, for every sink: what a bad peer does becomes one error of the tree, in bounded time."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.smpp_sink import SmppSink
from services.notifier.adapters.smtp_sink import SmtpSink
from services.notifier.adapters.syslog_sink import SyslogSink
from services.notifier.domain.settings import Email, Sms, SmsTransport, Syslog, SyslogTransport
from services.notifier.ports import Sink
from tests.contract.notifier.hostile_peer import (
    Behaviour,
    hangs,
    hostile_peer,
    resets,
    talks_rubbish,
)
from tests.contract.notifier.samples import a_delivery
from tests.support.ports import free_port

DEADLINE_S = 1.0
Make = Callable[[ChannelFiles, int], Sink]


def syslog(transport: SyslogTransport) -> Make:
    return lambda files, port: SyslogSink(
        Syslog("127.0.0.1", port, transport, "ca.pem"), files, hostname="keeper", deadline_s=DEADLINE_S
    )


def email(files: ChannelFiles, port: int) -> Sink:
    settings = Email(
        "localhost", port, "x@example.org", ("a@example.org",), "keeper", "password.txt", "ca.pem"
    )
    return SmtpSink(settings, files, hostname="keeper", deadline_s=DEADLINE_S)


def sms(transport: SmsTransport) -> Make:
    return lambda files, port: SmppSink(
        Sms("127.0.0.1", port, transport, "keeper", "password.txt", "Xenkeep", ("123456",), ca_file="ca.pem"),
        files,
        deadline_s=DEADLINE_S,
    )


SINKS: dict[str, Make] = {
    "syslog-tcp": syslog(SyslogTransport.TCP),
    "syslog-tls": syslog(SyslogTransport.TLS),
    "email": email,
    "sms-tcp": sms(SmsTransport.TCP),
    "sms-tls": sms(SmsTransport.TLS),
}


@pytest.mark.parametrize("behaviour", [hangs, resets, talks_rubbish])
@pytest.mark.parametrize("name", SINKS)
async def test_a_bad_peer_is_an_error_in_bounded_time(
    channel_files: ChannelFiles, name: str, behaviour: Behaviour
) -> None:
    async with hostile_peer(behaviour) as port:
        started = monotonic()
        with pytest.raises(Unavailable) as failure:
            await SINKS[name](channel_files, port).deliver(a_delivery())
        assert monotonic() - started < DEADLINE_S + 1
    assert f":{port}" in failure.value.message
    assert failure.value.hint
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize("name", SINKS)
async def test_a_closed_port_is_an_error_that_names_it(channel_files: ChannelFiles, name: str) -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=f":{port}"):
        await SINKS[name](channel_files, port).deliver(a_delivery())


async def test_a_closed_udp_port_on_this_machine_is_noticed(channel_files: ChannelFiles) -> None:
    with pytest.raises(Unavailable, match="refused"):
        await syslog(SyslogTransport.UDP)(channel_files, free_port()).deliver(a_delivery())


@pytest.mark.parametrize("name", ["email", "sms-tcp"])
async def test_a_missing_password_says_where_it_belongs(
    channel_files: ChannelFiles, name: str, pki_dir: Path
) -> None:
    (pki_dir / "password.txt").unlink()
    with pytest.raises(FailedPrecondition, match=r"password\.txt") as failure:
        await SINKS[name](channel_files, 1).deliver(a_delivery())
    assert str(pki_dir) in failure.value.hint
