"""What the operator chooses: read once at the door, complained about by name and all at once.

A configuration is a frozen dataclass. The field ``data_dir`` is the variable ``XENKEEP_DATA_DIR``; a
``Secret`` may also come from the file that ``<NAME>_FILE`` names (docker and systemd hand secrets over that
way). Variables nobody asked for are left alone: several services share one environment file.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from services.chassis.errors import InvalidInput
from services.chassis.quantities import parse_bool, parse_duration, parse_float, parse_int

T = TypeVar("T")
Check = Callable[[Any], str | None]
"""Says what is wrong with a value in one clause, or None."""


class Secret:
    """Text that does not show itself: ``repr`` and ``str`` are ``***``; ``reveal()`` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def option(text: str, *, check: Check | None = None) -> Mapping[str, Any]:
    """Metadata of a field: ``text`` tells the operator what it is. Without a default it must be given."""
    return {"help": text, "check": check}


def is_address(value: str) -> str | None:
    """A ``Check``: ``host:port`` with a port of 0..65535; an IPv6 host stands in brackets."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return "must be host:port, for example 0.0.0.0:7443 or [::]:7443"
    return None


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """What every service is told. A service subclasses it and may give ``listen`` a default of its own."""

    listen: str = field(metadata=option("host:port on which gRPC is served", check=is_address))
    data_dir: Path = field(metadata=option("directory of this service's own files; nobody else's"))
    tls_ca: Path = field(metadata=option("PEM file with the authority every peer's certificate is from"))
    tls_cert: Path = field(metadata=option("PEM file with this service's certificate; its CN is its name"))
    tls_key: Path = field(metadata=option("PEM file with the private key of tls_cert"))
    nats_url: tuple[str, ...] = field(
        default=("tls://127.0.0.1:4222",),
        metadata=option("NATS servers, comma separated; always spoken to with TLS"),
    )
    database_url: Secret | None = field(
        default=None,
        metadata=option(
            "SQLAlchemy URL, sqlite+aiosqlite or postgresql+asyncpg; an SQLite file in data_dir if left out"
        ),
    )
    metrics_listen: str | None = field(
        default=None,
        metadata=option("host:port of the Prometheus page; no page if left out", check=is_address),
    )
    otlp_endpoint: str | None = field(
        default=None, metadata=option("OTLP/HTTP URL traces are sent to; not sent if left out")
    )
    log_level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata=option("least level logged")
    )
    log_format: Literal["json", "console"] = field(
        default="json", metadata=option("json for machines, console for eyes")
    )
    shutdown_grace: timedelta = field(
        default=timedelta(seconds=20), metadata=option("time to finish what is under way on SIGTERM")
    )

    def database(self, service: str) -> Secret:
        """The URL of this service's store: ``database_url``, or ``<data_dir>/<service>.sqlite``."""
        return self.database_url or Secret(f"sqlite+aiosqlite:///{self.data_dir / service}.sqlite")


def load(cls: type[T], env: Mapping[str, str], prefix: str = "XENKEEP_") -> T:
    """Read the frozen dataclass ``cls`` from ``env``.

    Raises InvalidInput CONFIGURATION_INVALID naming every variable that is missing or wrong. An empty value
    counts as left out. The values of secrets are never part of the message.
    """
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for each in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = prefix + each.name.upper()
        kind = _without_none(hints[each.name])
        try:
            text = _text(name, kind, env)
            if text is None:
                if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
                    raise ValueError(f"is missing: {each.metadata.get('help', each.name)}")
                continue
            values[each.name] = value = _parse(kind, text)
            for check in _checks(cls, each.name):
                if complaint := check(value):
                    raise ValueError(complaint)
        except ValueError as error:
            wrong[name] = str(error)
    if wrong:
        raise InvalidInput(
            "The configuration is not usable: " + "; ".join(f"{k} {v}" for k, v in wrong.items()) + ".",
            reason="CONFIGURATION_INVALID",
            hint="Set these environment variables and start again.",
            metadata=wrong,
        )
    return cls(**values)


def describe(cls: type, prefix: str = "XENKEEP_") -> list[tuple[str, str, str]]:
    """(variable, default or ``required``, meaning) of every option, for ``--help`` and the documentation."""
    rows = []
    for each in dataclasses.fields(cls):
        required = each.default is dataclasses.MISSING
        default = "required" if required else "" if each.default is None else str(each.default)
        rows.append((prefix + each.name.upper(), default, str(each.metadata.get("help", ""))))
    return rows


def _checks(cls: type, name: str) -> list[Check]:
    # A subclass that gives an option another default must not lose the check by it.
    fields = (base.__dict__.get("__dataclass_fields__", {}).get(name) for base in cls.__mro__)
    checks = (each.metadata.get("check") for each in fields if each is not None)
    return [check for check in dict.fromkeys(checks) if check is not None]


def _text(name: str, kind: Any, env: Mapping[str, str]) -> str | None:
    text = env.get(name) or None
    file = env.get(f"{name}_FILE") if kind is Secret else None
    if not file:
        return text
    if text is not None:
        raise ValueError(f"is given twice: by value and by {name}_FILE")
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise ValueError(f"cannot be read from {file}: it is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"cannot be read from {file}: {error.strerror}") from error


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next(arm for arm in typing.get_args(kind) if arm is not types.NoneType)
    return kind


def _parse(kind: Any, text: str) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {text!r}")
        return text
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_parse(item, part.strip()) for part in text.split(",") if part.strip())
    return _PARSERS[kind](text)


_PARSERS: Mapping[type, Callable[[str], Any]] = {
    str: str,
    Path: Path,
    Secret: Secret,
    int: parse_int,
    float: parse_float,
    bool: parse_bool,
    timedelta: parse_duration,
}
