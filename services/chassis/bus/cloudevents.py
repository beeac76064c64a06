"""CloudEvents 1.0 in NATS's binary mode: every attribute a header ``ce-<name>``, the body the data itself.

Sources: CloudEvents spec 1.0.2 (attributes), its NATS binding (headers; values percent-encoded as in the HTTP
binding, 3.1.3.2), W3C Trace Context (``traceparent``). The body is protobuf's JSON mapping, so that an
integration needs no code of ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, unquote

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry import propagate

from services.chassis.errors import InvalidInput

M = TypeVar("M", bound=Message)
MAX_BODY_BYTES = 900_000
"""NATS's default limit is 1 MiB for headers and body (nats-server: ``max_payload``)."""
_PLAIN = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')
_TRACE = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known of a message besides its body; ``deliveries`` is 1 the first time it is delivered."""

    id: str
    type: str
    source: str
    subject: str
    time: datetime
    deliveries: int = 1
    trace: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message ready for the bus."""

    id: str
    headers: Mapping[str, str]
    body: bytes


def source_of(service: str) -> str:
    """The ``source`` of a service's events, also the URI in its certificate."""
    return f"xenkeep://service/{service}"


def header_text(text: str) -> str:
    """``text`` as one line of printable ASCII, by the HTTP binding's percent-encoding."""
    return quote(text, safe=_PLAIN)


def wrap(message: Message, *, id: str, source: str, subject_id: str, time: datetime) -> Envelope:
    """Raises InvalidInput MESSAGE_TOO_LARGE above MAX_BODY_BYTES."""
    name = message.DESCRIPTOR.full_name
    body = json.dumps(json_format.MessageToDict(message), ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput(
            f"A {name} of {len(body)} bytes is too large to publish.",
            reason="MESSAGE_TOO_LARGE",
            hint="Publish a name to look up instead of the thing.",
        )
    attributes = {
        "specversion": "1.0",
        "id": id,
        "type": name,
        "source": source,
        "time": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
    }
    if subject_id:
        attributes["subject"] = subject_id
    headers = {f"ce-{key}": header_text(value) for key, value in attributes.items()}
    propagate.inject(headers)
    return Envelope(id, headers, body)


def meta_of(headers: Mapping[str, str] | None, deliveries: int = 1) -> Meta:
    """Raises InvalidInput NOT_A_CLOUDEVENT when a required attribute is missing or unreadable."""
    found = {key.lower(): value for key, value in (headers or {}).items()}

    def attribute(name: str) -> str:
        return unquote(found.get(f"ce-{name}", ""))

    missing = [name for name in ("id", "type", "source") if not attribute(name)]
    try:
        time = datetime.fromisoformat(attribute("time"))
    except ValueError:
        missing.append("time")
    if missing or attribute("specversion") != "1.0" or len(attribute("id")) > 128:
        raise InvalidInput(
            "A message is not a CloudEvent 1.0: "
            + (f"no {', '.join(missing)}." if missing else "unknown version."),
            reason="NOT_A_CLOUDEVENT",
            hint="Publish with the headers ce-specversion, ce-id, ce-type, ce-source and ce-time.",
        )
    return Meta(
        id=attribute("id"),
        type=attribute("type"),
        source=attribute("source"),
        subject=attribute("subject"),
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        deliveries=deliveries,
        trace={key: found[key] for key in _TRACE if key in found},
    )


def unwrap(message_type: type[M], body: bytes) -> M:
    """The message; fields a newer release added are ignored. Raises InvalidInput MESSAGE_UNREADABLE."""
    try:
        return json_format.Parse(body, message_type(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"The body is not the JSON of a {message_type.DESCRIPTOR.full_name}.", reason="MESSAGE_UNREADABLE"
        ) from error
