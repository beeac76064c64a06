"""A notification channel as people write it."""

from typing import Literal

from pydantic import Field, model_validator

from xenkeep.cli.files import FileModel
from xenkeep.notifier.v1 import notifier_pb2


class Syslog(FileModel):
    """RFC 5424."""

    host: str
    port: int = Field(default=0, ge=0, le=65535)
    transport: Literal["udp", "tcp", "tls"] = "tls"
    ca_file: str = ""


class Email(FileModel):
    """SMTP with STARTTLS."""

    host: str
    sender: str
    recipients: tuple[str, ...] = Field(min_length=1)
    port: int = Field(default=0, ge=0, le=65535)
    username: str = ""
    password_file: str = ""
    ca_file: str = ""


class Sms(FileModel):
    """SMPP 3.4."""

    host: str
    system_id: str
    password_file: str
    recipients: tuple[str, ...] = Field(min_length=1)
    sender: str = ""
    port: int = Field(default=0, ge=0, le=65535)
    transport: Literal["tcp", "tls"] = "tls"
    ca_file: str = ""
    system_type: str = ""


class ChannelFile(FileModel):
    """One channel with one sink."""

    name: str
    syslog: Syslog | None = None
    email: Email | None = None
    sms: Sms | None = None
    minimum_severity: Literal["info", "warning", "error"] = "info"
    event_types: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_sink(self) -> "ChannelFile":
        if sum(sink is not None for sink in (self.syslog, self.email, self.sms)) != 1:
            raise ValueError("it needs exactly one of syslog, email, sms")
        return self

    def to_proto(self) -> notifier_pb2.Channel:
        """The channel as the notifier takes it."""
        channel = notifier_pb2.Channel(
            name=f"channels/{self.name}",
            minimum_severity=notifier_pb2.Severity.Value(f"SEVERITY_{self.minimum_severity.upper()}"),
            event_types=self.event_types,
        )
        if self.syslog:
            transport = notifier_pb2.SyslogSink.Transport.Value(f"TRANSPORT_{self.syslog.transport.upper()}")
            channel.syslog.CopyFrom(
                notifier_pb2.SyslogSink(
                    host=self.syslog.host,
                    port=self.syslog.port,
                    transport=transport,
                    ca_file=self.syslog.ca_file,
                )
            )
        if self.email:
            channel.email.CopyFrom(notifier_pb2.EmailSink(**self.email.model_dump()))
        if self.sms:
            channel.sms.CopyFrom(
                notifier_pb2.SmsSink(
                    host=self.sms.host,
                    port=self.sms.port,
                    system_id=self.sms.system_id,
                    password_file=self.sms.password_file,
                    transport=notifier_pb2.SmsSink.Transport.Value(f"TRANSPORT_{self.sms.transport.upper()}"),
                    ca_file=self.sms.ca_file,
                    system_type=self.sms.system_type,
                    sender=self.sms.sender,
                    recipients=self.sms.recipients,
                )
            )
        return channel
