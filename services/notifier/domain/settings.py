"""How each kind of channel reaches its recipients; `problems()` says what about it cannot work.

Passwords are never here: a channel names the file they are in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from services.notifier.domain import checks


class SyslogTransport(Enum):
    """RFC 5426 datagrams, RFC 6587 octet-counted TCP, RFC 5425 TLS."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class SmsTransport(Enum):
    """SMPP in the clear, or within TLS."""

    TCP = "tcp"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Syslog:
    """A collector. `ca_file` empty: the system's authorities are trusted (TLS)."""

    host: str
    port: int
    transport: SyslogTransport
    ca_file: str = ""

    @property
    def recipients(self) -> tuple[str, ...]:
        return (f"{self.host}:{self.port}",)

    def problems(self) -> Iterator[str]:
        yield from checks.endpoint(self.host, self.port)
        yield from checks.file_name("ca_file", self.ca_file)


@dataclass(frozen=True, slots=True)
class Email:
    """A mail relay. TLS is enforced: from the first byte on port 465 (RFC 8314), by STARTTLS on any other."""

    IMPLICIT_TLS_PORT = 465

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    username: str = ""
    password_file: str = ""
    ca_file: str = ""

    def problems(self) -> Iterator[str]:
        yield from checks.endpoint(self.host, self.port)
        yield from checks.mailbox("sender", self.sender)
        yield from checks.recipients(self.recipients)
        for recipient in self.recipients:
            yield from checks.mailbox("recipient", recipient)
        yield from checks.printable("username", self.username, 200)
        yield from checks.file_name("password_file", self.password_file)
        yield from checks.file_name("ca_file", self.ca_file)
        if bool(self.username) != bool(self.password_file):
            yield "username and password_file go together"


@dataclass(frozen=True, slots=True)
class Sms:
    """An account at an SMS centre. Lengths are of SMPP 3.4 sections 5.2.1, 5.2.3 and 5.2.8."""

    host: str
    port: int
    transport: SmsTransport
    system_id: str
    password_file: str
    sender: str
    recipients: tuple[str, ...]
    system_type: str = ""
    ca_file: str = ""

    def problems(self) -> Iterator[str]:
        yield from checks.endpoint(self.host, self.port)
        yield from checks.printable("system_id", self.system_id, 15, 1)
        yield from checks.printable("system_type", self.system_type, 12)
        yield from checks.printable("sender", self.sender, 20)
        yield from checks.printable("password_file", self.password_file, 1000, 1)
        yield from checks.file_name("ca_file", self.ca_file)
        yield from checks.recipients(self.recipients)
        for recipient in self.recipients:
            yield from checks.number(recipient)


Settings = Syslog | Email | Sms
