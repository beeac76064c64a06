"""SmppSink against smppy, and against centres on a bad day."""

import asyncio
import ssl
import struct
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.adapters import smpp_pdu as pdu
from services.notifier.adapters.channel_files import ChannelFiles
from services.notifier.adapters.smpp_sink import SmppSink
from services.notifier.domain.settings import Sms, SmsTransport
from tests.contract.notifier.hostile_peer import hostile_peer
from tests.contract.notifier.samples import a_delivery, a_notification
from tests.contract.notifier.smpp_peer import smpp_peer

NUMBER = "+4915112345678"


def sink(
    files: ChannelFiles,
    port: int,
    *,
    system_id: str = "keeper",
    password_file: str = "password.txt",
    transport: SmsTransport = SmsTransport.TCP,
) -> SmppSink:
    settings = Sms(
        "127.0.0.1", port, transport, system_id, password_file, "Xenkeep", (NUMBER,), ca_file="ca.pem"
    )
    return SmppSink(settings, files, deadline_s=5)


async def test_a_short_notification_is_one_confirmed_message(channel_files: ChannelFiles) -> None:
    async with smpp_peer() as centre:
        receipt = await sink(channel_files, centre.port).deliver(a_delivery(NUMBER))
        assert [message.recipient for message in centre.messages] == [NUMBER.lstrip("+")]
        assert [message.sender for message in centre.messages] == ["Xenkeep"]
        assert centre.unbound == 1
    assert receipt.confirmed is True
    assert receipt.detail.startswith("The SMS centre took 1 segment")
    assert "unbind" not in receipt.detail


async def test_what_gsm7_cannot_say_goes_as_ucs2_in_segments(channel_files: ChannelFiles) -> None:
    text = "日本語の仮想マシン " * 12
    async with smpp_peer() as centre:
        receipt = await sink(channel_files, centre.port).deliver(
            a_delivery(NUMBER, a_notification(headline=text, advice=""))
        )
        assert "".join(message.text for message in centre.messages) == f"[FAIL] nightly: {text.strip()}"
        assert len(centre.messages) > 1
    assert f"took {len(centre.messages)} segments" in receipt.detail


async def test_tls_is_spoken_when_asked_for(channel_files: ChannelFiles, pki_dir: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki_dir / "cert.pem", pki_dir / "key.pem")
    async with smpp_peer(context) as centre:
        await sink(channel_files, centre.port, transport=SmsTransport.TLS).deliver(a_delivery(NUMBER))
        assert len(centre.messages) == 1


async def test_wrong_credentials_are_a_refusal_without_the_password(channel_files: ChannelFiles) -> None:
    async with smpp_peer() as centre:
        with pytest.raises(Unavailable) as refusal:
            await sink(channel_files, centre.port, system_id="stranger").deliver(a_delivery(NUMBER))
        assert centre.messages == []
    assert refusal.value.reason == "PEER_LOGIN"
    assert "status 0x0000000D (bind failed)" in refusal.value.message
    assert "hunter2" not in str(refusal.value)


async def test_a_password_that_smpp_cannot_carry_is_refused_not_cut(
    channel_files: ChannelFiles, pki_dir: Path
) -> None:
    (pki_dir / "long.txt").write_text("longer-than-eight\n")
    async with smpp_peer() as centre:
        with pytest.raises(FailedPrecondition, match="at most 8") as refusal:
            await sink(channel_files, centre.port, password_file="long.txt").deliver(a_delivery(NUMBER))
    assert "longer-than-eight" not in str(refusal.value)


def centre_answering(status: int) -> type:
    """A centre that binds everybody, asks and hands over in between, and answers so to submit_sm."""

    class Centre:
        answers: list[pdu.Header]

        def __init__(self) -> None:
            self.answers = []

        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                header = pdu.parse_header(await reader.readexactly(pdu.HEADER_BYTES))
                await reader.readexactly(header.length - pdu.HEADER_BYTES)
                if header.command & pdu.RESPONSE:
                    self.answers.append(header)
                    continue
                if header.command == pdu.SUBMIT_SM:
                    writer.write(pdu.unit(pdu.ENQUIRE_LINK, 901))
                    writer.write(pdu.unit(pdu.DELIVER_SM, 902, b"\0" * 17))
                outcome = status if header.command == pdu.SUBMIT_SM else pdu.OK
                writer.write(pdu.unit(header.command | pdu.RESPONSE, header.sequence, b"id\r\n-1\0", outcome))
                await writer.drain()

    return Centre


async def test_what_the_centre_asks_in_between_is_answered(channel_files: ChannelFiles) -> None:
    centre = centre_answering(pdu.OK)()
    async with hostile_peer(centre) as port:
        receipt = await sink(channel_files, port).deliver(a_delivery(NUMBER))
    assert receipt.detail == "The SMS centre took 1 segment: id -1."
    assert [(answer.sequence, answer.status) for answer in centre.answers] == [(901, 0), (902, 0x64)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(0x0B, FailedPrecondition), (0x58, Unavailable), (0x14, Unavailable), (0xDEAD, Unavailable)],
)
async def test_a_refused_message_says_whether_a_repetition_may_help(
    channel_files: ChannelFiles, status: int, kind: type[Exception]
) -> None:
    async with hostile_peer(centre_answering(status)()) as port:
        with pytest.raises(kind, match=f"0x{status:08X}"):
            await sink(channel_files, port).deliver(a_delivery(NUMBER))


async def test_a_unit_of_four_gigabytes_is_not_read(channel_files: ChannelFiles) -> None:
    async def announces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack(">IIII", 0xFFFFFFFF, 0x80000009, 0, 1))
        await asyncio.Event().wait()

    async with hostile_peer(announces) as port:
        with pytest.raises(Unavailable, match="4294967295"):
            await sink(channel_files, port).deliver(a_delivery(NUMBER))
