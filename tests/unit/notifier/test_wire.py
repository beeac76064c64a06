"""Channels and deliveries on the wire."""

import pytest
from xenkeep.notifier.v1 import notifier_pb2 as pb

from services.chassis.errors import InvalidInput
from services.notifier.domain.delivery import Receipt
from services.notifier.domain.settings import Sms, SmsTransport, Syslog, SyslogTransport
from services.notifier.wire import channel_from_proto, channel_to_proto, delivery_to_proto
from tests.contract.notifier.samples import NOW, a_delivery

SYSLOG = pb.Channel(
    name="channels/log",
    syslog=pb.SyslogSink(host="log", port=1514, transport=pb.SyslogSink.TRANSPORT_TCP, ca_file="ca.pem"),
    minimum_severity=pb.SEVERITY_WARNING,
    event_types=["xenkeep.scheduler.v1.RunFailed"],
)
EMAIL = pb.Channel(
    name="channels/mail",
    email=pb.EmailSink(
        host="mail",
        port=465,
        sender="x@example.org",
        recipients=["a@example.org"],
        username="keeper",
        password_file="password",
        ca_file="ca.pem",
    ),
    minimum_severity=pb.SEVERITY_INFO,
)
SMS = pb.Channel(
    name="channels/sms",
    sms=pb.SmsSink(
        host="sms",
        port=3550,
        transport=pb.SmsSink.TRANSPORT_TCP,
        system_id="keeper",
        password_file="password",
        sender="Xenkeep",
        recipients=["+4915112345678"],
        ca_file="ca.pem",
        system_type="alarm",
    ),
    minimum_severity=pb.SEVERITY_ERROR,
)


@pytest.mark.parametrize("message", [SYSLOG, EMAIL, SMS], ids=["syslog", "email", "sms"])
def test_a_channel_comes_back_as_it_went(message: pb.Channel) -> None:
    assert channel_to_proto(channel_from_proto(message)) == message


def test_what_is_not_chosen_takes_the_promised_default() -> None:
    log = channel_from_proto(pb.Channel(name="log", syslog=pb.SyslogSink(host="log")))
    number = pb.SmsSink(host="sms", system_id="x", password_file="p", recipients=["123"])
    sms = channel_from_proto(pb.Channel(name="sms", sms=number))
    udp = pb.SyslogSink(host="log", transport=pb.SyslogSink.TRANSPORT_UDP)
    assert log.settings == Syslog("log", 6514, SyslogTransport.TLS)
    assert channel_from_proto(pb.Channel(name="log", syslog=udp)).settings == Syslog(
        "log", 514, SyslogTransport.UDP
    )
    assert sms.settings == Sms("sms", 2775, SmsTransport.TLS, "x", "p", "", ("123",))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (pb.Channel(name="nowhere"), "leads nowhere"),
        (pb.Channel(name="log", syslog=pb.SyslogSink(host="log"), minimum_severity=9), "no severity"),  # type: ignore[arg-type]
        (pb.Channel(name="log", syslog=pb.SyslogSink(host="log", transport=9)), "no transport"),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused(message: pb.Channel, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        channel_from_proto(message)


def test_a_delivery_says_where_it_stands() -> None:
    delivered = delivery_to_proto(a_delivery().delivered(Receipt(True, "250 OK"), NOW))
    assert delivered.name == "deliveries/delivery-1"
    assert delivered.channel == "channels/operators"
    assert delivered.subject == "[FAIL] nightly: 1 of 3 VMs was not backed up"
    assert delivered.state == pb.Delivery.STATE_DELIVERED
    assert (delivered.recipient, delivered.confirmed, delivered.message) == (
        "admin@example.org",
        True,
        "250 OK",
    )
    assert not delivery_to_proto(a_delivery()).HasField("delivery_time")
