"""One connection to a server that breaks the rules: every breach is a clear error, none a wrong byte."""

import random
import socket
import ssl
import struct
import threading
from pathlib import Path

import pytest

from services.chassis.errors import (
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    XenkeepError,
)
from services.mover.adapters.nbd_connection import NbdConnection
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_handshake import NbdTimeouts
from services.mover.domain import BlockRead
from tests.faults.mover_io.hostile_nbd import ACK, BANNER, SIZE, HostileNbd, Script, Talk, good
from tests.integration.mover_io.nbdkit import Certificate

pytestmark = pytest.mark.scenario(40)

CONTENT = random.Random(5).randbytes(SIZE)
SHORT = NbdTimeouts(handshake=1, reply=0.3)
LONG = NbdTimeouts(handshake=20, reply=20)
HANGING = {"NBD_TIMEOUT", "TLS_FAILED"}


def before_tls(said: bytes) -> Script:
    return lambda talk: talk.say(said)


def at_starttls(said: bytes) -> Script:
    def script(talk: Talk) -> None:
        talk.say(BANNER)
        talk.exactly(20)
        talk.say(said)

    return script


def at_export(said: bytes) -> Script:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.exactly(16)
        talk.say(said)

    return script


def hangs_before(step: str) -> Script:
    def script(talk: Talk) -> None:
        if step == "banner":
            talk.hang()
        if step == "tls":
            talk.say(BANNER)
            talk.exactly(20)
            talk.say(ACK)
            talk.hang()
        talk.greet()
        talk.hang()

    return script


def option_reply(magic: int = 0x0003E889045565A9, option: int = 5, kind: int = 1, length: int = 0) -> bytes:
    return struct.pack(">QIII", magic, option, kind, length)


def export_reply(size: int = SIZE, flags: int = 3, padding: bytes = bytes(124)) -> bytes:
    return struct.pack(">QH", size, flags) + padding


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        (before_tls(b""), ResourceExhausted, "NBD_HOST_FULL"),
        (before_tls(b"NBD"), Unavailable, "NBD_CONNECTION_LOST"),
        (before_tls(b"HTTP/1.1 400 Bad R"), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (
            before_tls(b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00"),
            FailedPrecondition,
            "NBD_PROTOCOL_VIOLATION",
        ),
        (before_tls(b"NBDMAGICIHAVEOPT\x00\x00"), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (hangs_before("banner"), DeadlineExceeded, "NBD_TIMEOUT"),
        (at_starttls(b""), Unavailable, "NBD_CONNECTION_LOST"),
        (at_starttls(option_reply(kind=0x80000002)), FailedPrecondition, "NBD_TLS_REFUSED"),
        (at_starttls(option_reply(kind=0x80000001)), FailedPrecondition, "NBD_TLS_REFUSED"),
        (at_starttls(option_reply(magic=1)), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (at_starttls(option_reply(option=7)), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (at_starttls(option_reply(length=4)), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (at_starttls(option_reply() + b"this is no TLS record"), Unavailable, "TLS_FAILED"),
        (hangs_before("tls"), Unavailable, "TLS_FAILED"),
        (at_export(b""), FailedPrecondition, "NBD_EXPORT_REFUSED"),
        (at_export(export_reply()[:60]), Unavailable, "NBD_CONNECTION_LOST"),
        (at_export(export_reply(flags=0)), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (at_export(export_reply(size=2**63)), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (at_export(export_reply(padding=bytes(123) + b"\1")), FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (hangs_before("export"), DeadlineExceeded, "NBD_TIMEOUT"),
    ],
)
def test_a_handshake_that_goes_wrong_says_what_and_where(
    tmp_path: Path, script: Script, kind: type[XenkeepError], reason: str
) -> None:
    timeouts = SHORT if reason in HANGING else LONG
    with HostileNbd(tmp_path, [script]) as server, pytest.raises(XenkeepError) as failed:
        NbdConnection.open(server.endpoint, timeouts)
    assert (type(failed.value), failed.value.reason) == (kind, reason)
    assert "host-1" in failed.value.message
    assert "secret" not in f"{failed.value} {failed.value!r} {failed.value.metadata}"


def test_a_server_that_trickles_its_handshake_is_given_up(tmp_path: Path) -> None:
    def trickles(talk: Talk) -> None:
        for byte in BANNER:
            talk.say(bytes([byte]))
            talk.server.stopped.wait(0.1)

    with HostileNbd(tmp_path, [trickles]) as server, pytest.raises(DeadlineExceeded):
        NbdConnection.open(server.endpoint, SHORT)


def test_another_certificate_is_another_server(tmp_path: Path) -> None:
    with HostileNbd(tmp_path, [good]) as server:
        told = server.endpoint
        expected = NbdEndpoint(
            told.host_id, told.address, told.port, told.export_name, Certificate.new().certificate
        )
        with pytest.raises(Unauthenticated) as refused:
            NbdConnection.open(expected, LONG)
        assert refused.value.reason == "CERTIFICATE_MISMATCH"


def test_a_certificate_that_cannot_be_read_is_refused_before_the_name_is_sent(tmp_path: Path) -> None:
    with HostileNbd(tmp_path, [lambda talk: talk.greet()]) as server:
        told = server.endpoint
        broken = NbdEndpoint(told.host_id, told.address, told.port, told.export_name, "not a certificate")
        with pytest.raises(InvalidInput) as refused:
            NbdConnection.open(broken, LONG)
    assert refused.value.reason == "CERTIFICATE_UNREADABLE"


def test_tls_before_1_2_is_refused(tmp_path: Path) -> None:
    with HostileNbd(tmp_path, [lambda talk: talk.greet()]) as server:
        with pytest.warns(DeprecationWarning):
            server.context.minimum_version = ssl.TLSVersion.TLSv1
            server.context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(Unavailable) as refused:
            NbdConnection.open(server.endpoint, LONG)
    assert refused.value.reason == "TLS_FAILED"


def test_plain_text_must_be_allowed_in_so_many_words(tmp_path: Path) -> None:
    def plain(talk: Talk) -> None:
        talk.say(BANNER)
        talk.exactly(4)
        talk.export()
        talk.serve()

    with HostileNbd(tmp_path, [plain], disk=CONTENT) as server:
        told = server.endpoint
        without = NbdEndpoint(told.host_id, told.address, told.port, told.export_name, "")
        with pytest.raises(InvalidInput) as refused:
            NbdConnection.open(without, LONG)
        assert refused.value.reason == "NBD_PLAINTEXT_REFUSED"
        assert server.connections == 0
        connection = NbdConnection.open(without, LONG, plaintext_allowed=True)
        buffer = bytearray(4096)
        connection.read_into(8192, memoryview(buffer))
        connection.close()
    assert buffer == CONTENT[8192:12288]


def test_nobody_listening_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unavailable) as failed:
        NbdConnection.open(NbdEndpoint("host-1", "127.0.0.1", port, "/disk", Certificate.new().certificate))
    assert failed.value.reason == "NBD_UNREACHABLE"


def while_reading(misbehave: Script) -> Script:
    def script(talk: Talk) -> None:
        talk.greet()
        talk.export()
        misbehave(talk)

    return script


def wrong_magic(talk: Talk) -> None:
    talk.reply(talk.request(), magic=0x668E33EF)


def wrong_handle(talk: Talk) -> None:
    request = talk.request()
    talk.say(struct.pack(">IIQ", 0x67446698, 0, request.handle + 1000) + bytes(request.length))


def answers_twice(talk: Talk) -> None:
    request = talk.request()
    talk.reply(request)
    talk.reply(request)
    talk.serve()


def short_reply(talk: Talk) -> None:
    request = talk.request()
    talk.say(struct.pack(">IIQ", 0x67446698, 0, request.handle) + bytes(request.length // 2))


def half_a_head(talk: Talk) -> None:
    talk.request()
    talk.say(b"\x67\x44")


def refuses(talk: Talk) -> None:
    talk.reply(talk.request(), error=5)


def hangs(talk: Talk) -> None:
    talk.request()
    talk.hang()


def hangs_in_the_data(talk: Talk) -> None:
    request = talk.request()
    talk.say(struct.pack(">IIQ", 0x67446698, 0, request.handle) + bytes(100))
    talk.hang()


def trickles_the_data(talk: Talk) -> None:
    request = talk.request()
    talk.say(struct.pack(">IIQ", 0x67446698, 0, request.handle))
    while not talk.server.stopped.wait(0.05):
        talk.say(b"\0")


@pytest.mark.parametrize(
    ("misbehave", "kind", "reason"),
    [
        (wrong_magic, FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (wrong_handle, FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (answers_twice, FailedPrecondition, "NBD_PROTOCOL_VIOLATION"),
        (short_reply, Unavailable, "NBD_CONNECTION_LOST"),
        (half_a_head, Unavailable, "NBD_CONNECTION_LOST"),
        (refuses, DataLoss, "NBD_READ_REFUSED"),
        (hangs, DeadlineExceeded, "NBD_TIMEOUT"),
        (hangs_in_the_data, DeadlineExceeded, "NBD_TIMEOUT"),
        (trickles_the_data, DeadlineExceeded, "NBD_TIMEOUT"),
    ],
)
def test_a_read_that_goes_wrong_fails_and_ends_the_connection(
    tmp_path: Path, misbehave: Script, kind: type[XenkeepError], reason: str
) -> None:
    with HostileNbd(tmp_path, [while_reading(misbehave)], disk=CONTENT) as server:
        connection = NbdConnection.open(server.endpoint, NbdTimeouts(reply=0.3 if reason in HANGING else 20))
        reads = [BlockRead(offset, memoryview(bytearray(4096))) for offset in (0, 65536)]
        done: list[BlockRead] = []
        with pytest.raises(XenkeepError) as failed:
            done.extend(connection.read_many(reads))
        assert (type(failed.value), failed.value.reason) == (kind, reason)
        assert connection.failure is failed.value
        assert connection.outstanding
        assert (connection.refused is reads[0]) == (reason == "NBD_READ_REFUSED")
        connection.close()
    assert all(read.buffer == CONTENT[read.offset : read.extent.end] for read in done)


def test_replies_may_come_in_any_order(tmp_path: Path) -> None:
    def backwards(talk: Talk) -> None:
        talk.greet()
        talk.export()
        while True:
            for request in reversed([talk.request() for _ in range(4)]):
                talk.reply(request)

    with HostileNbd(tmp_path, [backwards], disk=CONTENT) as server:
        connection = NbdConnection.open(server.endpoint, LONG)
        reads = [BlockRead(offset, memoryview(bytearray(65536))) for offset in range(0, SIZE, 65536)]
        done = list(connection.read_many(reads[:4], window=4))
        connection.close()
    assert done == [reads[3], reads[2], reads[1], reads[0]]
    assert all(read.buffer == CONTENT[read.offset : read.extent.end] for read in done)


def test_an_interrupted_read_ends_at_once(tmp_path: Path) -> None:
    def waits(talk: Talk) -> None:
        talk.greet()
        talk.export()
        talk.request()
        asked.set()
        talk.hang()

    asked = threading.Event()
    with HostileNbd(tmp_path, [waits]) as server:
        connection = NbdConnection.open(server.endpoint, NbdTimeouts(reply=60))

        def interrupt() -> None:
            asked.wait()
            connection.interrupt()

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(Unavailable):
            connection.read_into(0, memoryview(bytearray(512)))
        interrupter.join()
        connection.close()


def test_a_server_that_offers_to_leave_out_the_zeroes_is_taken_at_its_word(tmp_path: Path) -> None:
    def modern(talk: Talk) -> None:
        talk.say(b"NBDMAGICIHAVEOPT\x00\x03")
        assert talk.exactly(4) == b"\0\0\0\3"
        talk.exactly(16)
        talk.say(ACK)
        talk.start_tls()
        talk.export(padding=b"")
        talk.serve()

    with HostileNbd(tmp_path, [modern], disk=CONTENT) as server:
        connection = NbdConnection.open(server.endpoint, LONG)
        buffer = bytearray(SIZE)
        connection.read_into(0, memoryview(buffer))
        connection.close()
    assert buffer == CONTENT


@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("", 10809, "/d"),
        ("a b", 10809, "/d"),
        ("h\n", 10809, "/d"),
        ("h", 0, "/d"),
        ("h", 65536, "/d"),
        ("h", 1, "x" * 4097),
    ],
)
def test_an_endpoint_that_is_none_is_refused_without_telling_its_secret(
    address: str, port: int, name: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        NbdEndpoint("host-1", address, port, name, "")
    assert name not in str(refused.value)
    assert "secret" not in repr(NbdEndpoint("host-1", "h", 1, "/d?session_id=secret", "pem"))
