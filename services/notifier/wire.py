"""Channels and deliveries on the wire."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from xenkeep.notifier.v1 import notifier_pb2 as pb

from services.chassis.errors import InvalidInput
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery, State
from services.notifier.domain.notification import Severity
from services.notifier.domain.settings import Email, Settings, Sms, SmsTransport, Syslog, SyslogTransport
from services.notifier.domain.text import subject

K = TypeVar("K")
M = TypeVar("M")
CHANNELS, DELIVERIES = "channels/", "deliveries/"

_SEVERITIES = {
    pb.SEVERITY_INFO: Severity.INFO,
    pb.SEVERITY_WARNING: Severity.WARNING,
    pb.SEVERITY_ERROR: Severity.ERROR,
}
_SYSLOG_TRANSPORTS = {
    pb.SyslogSink.TRANSPORT_UDP: SyslogTransport.UDP,
    pb.SyslogSink.TRANSPORT_TCP: SyslogTransport.TCP,
    pb.SyslogSink.TRANSPORT_TLS: SyslogTransport.TLS,
}
_SMS_TRANSPORTS = {
    pb.SmsSink.TRANSPORT_TCP: SmsTransport.TCP,
    pb.SmsSink.TRANSPORT_TLS: SmsTransport.TLS,
}
_STATES = {
    State.PENDING: pb.Delivery.STATE_PENDING,
    State.DELIVERED: pb.Delivery.STATE_DELIVERED,
    State.FAILED: pb.Delivery.STATE_FAILED,
}
_SYSLOG_PORTS = {SyslogTransport.UDP: 514, SyslogTransport.TCP: 514, SyslogTransport.TLS: 6514}
_SUBMISSION_PORT = 587
_SMPP_PORT = 2775


def channel_id(name: str) -> str:
    """The id in `channels/{channel}`; a bare id is taken as it is."""
    return name.removeprefix(CHANNELS)


def channel_from_proto(message: pb.Channel) -> Channel:
    """With the defaults the contract promises. Raises `InvalidInput`."""
    kind = message.WhichOneof("sink")
    if kind is None:
        raise _invalid(
            f"Channel {message.name[:80]!r} leads nowhere.", "Give it one of syslog, email and sms."
        )
    return Channel(
        name=channel_id(message.name),
        settings=_FROM_PROTO[kind](getattr(message, kind)),
        minimum_severity=_chosen(_SEVERITIES, message.minimum_severity, Severity.INFO, "severity"),
        event_types=tuple(message.event_types),
    )


def channel_to_proto(channel: Channel) -> pb.Channel:
    message = pb.Channel(
        name=CHANNELS + channel.name,
        minimum_severity=_key(_SEVERITIES, channel.minimum_severity),
        event_types=channel.event_types,
    )
    match channel.settings:
        case Syslog() as syslog:
            message.syslog.CopyFrom(
                pb.SyslogSink(
                    host=syslog.host,
                    port=syslog.port,
                    transport=_key(_SYSLOG_TRANSPORTS, syslog.transport),
                    ca_file=syslog.ca_file,
                )
            )
        case Email() as email:
            message.email.CopyFrom(
                pb.EmailSink(
                    host=email.host,
                    port=email.port,
                    sender=email.sender,
                    recipients=email.recipients,
                    username=email.username,
                    password_file=email.password_file,
                    ca_file=email.ca_file,
                )
            )
        case Sms() as sms:
            message.sms.CopyFrom(
                pb.SmsSink(
                    host=sms.host,
                    port=sms.port,
                    transport=_key(_SMS_TRANSPORTS, sms.transport),
                    system_id=sms.system_id,
                    password_file=sms.password_file,
                    sender=sms.sender,
                    recipients=sms.recipients,
                    ca_file=sms.ca_file,
                    system_type=sms.system_type,
                )
            )
    return message


def delivery_to_proto(delivery: Delivery) -> pb.Delivery:
    return pb.Delivery(
        name=DELIVERIES + delivery.delivery_id,
        channel=CHANNELS + delivery.channel,
        event_type=delivery.notification.event_type,
        subject=subject(delivery.notification),
        state=_STATES[delivery.state],
        attempts=delivery.attempts,
        message=delivery.detail,
        create_time=_timestamp(delivery.create_time),
        delivery_time=_delivery_time(delivery),
        recipient=delivery.recipient,
        confirmed=delivery.confirmed,
    )


def _syslog(message: pb.SyslogSink) -> Settings:
    transport = _chosen(_SYSLOG_TRANSPORTS, message.transport, SyslogTransport.TLS, "transport")
    return Syslog(message.host, message.port or _SYSLOG_PORTS[transport], transport, message.ca_file)


def _email(message: pb.EmailSink) -> Settings:
    return Email(
        host=message.host,
        port=message.port or _SUBMISSION_PORT,
        sender=message.sender,
        recipients=tuple(message.recipients),
        username=message.username,
        password_file=message.password_file,
        ca_file=message.ca_file,
    )


def _sms(message: pb.SmsSink) -> Settings:
    return Sms(
        host=message.host,
        port=message.port or _SMPP_PORT,
        transport=_chosen(_SMS_TRANSPORTS, message.transport, SmsTransport.TLS, "transport"),
        system_id=message.system_id,
        password_file=message.password_file,
        sender=message.sender,
        recipients=tuple(message.recipients),
        system_type=message.system_type,
        ca_file=message.ca_file,
    )


_FROM_PROTO: dict[str, Callable[..., Settings]] = {"syslog": _syslog, "email": _email, "sms": _sms}


def _chosen(meanings: Mapping[Any, M], value: int, default: M, what: str) -> M:
    """0 is the contract's "not chosen"."""
    if value == 0:
        return default
    if value not in meanings:
        raise _invalid(f"{value} is no {what} this release knows.", "Choose one of the contract's values.")
    return meanings[value]


def _key(meanings: Mapping[K, M], value: M) -> K:
    return next(key for key, meaning in meanings.items() if meaning == value)


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _delivery_time(delivery: Delivery) -> Timestamp | None:
    if delivery.state is State.DELIVERED and delivery.finish_time is not None:
        return _timestamp(delivery.finish_time)
    return None


def _invalid(message: str, hint: str) -> InvalidInput:
    return InvalidInput(message, reason="CHANNEL_INVALID", hint=hint)
