from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.chassis.config import BaseConfig, Secret, describe, load, option
from services.chassis.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Example(BaseConfig):
    listen: str = field(default="127.0.0.1:7000", metadata=option("where"))
    password: Secret = field(metadata=option("what opens it"))
    workers: int = field(default=2, metadata=option("how many"))
    pause: timedelta = field(default=timedelta(minutes=1), metadata=option("how long"))
    eager: bool = field(default=False, metadata=option("whether"))
    ratio: float = field(default=0.5, metadata=option("how much"))


GOOD = {
    "XENKEEP_PASSWORD": "hunter2",
    "XENKEEP_DATA_DIR": "/data",
    "XENKEEP_TLS_CA": "/tls/ca.pem",
    "XENKEEP_TLS_CERT": "/tls/me.pem",
    "XENKEEP_TLS_KEY": "/tls/me.key",
}


def test_every_type_is_read_and_strangers_are_left_alone() -> None:
    config = load(
        Example,
        GOOD
        | {
            "XENKEEP_WORKERS": "7",
            "XENKEEP_PAUSE": "1h30m",
            "XENKEEP_EAGER": "Yes",
            "XENKEEP_RATIO": "0.25",
            "XENKEEP_NATS_URL": "tls://a:4222, tls://b:4222",
            "XENKEEP_LOG_FORMAT": "console",
            "XENKEEP_SOMEBODY_ELSES": "x",
        },
    )
    assert (7, timedelta(minutes=90), True, 0.25) == (
        config.workers,
        config.pause,
        config.eager,
        config.ratio,
    )
    assert config.nats_url == ("tls://a:4222", "tls://b:4222")
    assert Path("/data") == config.data_dir
    assert config.database("catalog").reveal() == "sqlite+aiosqlite:////data/catalog.sqlite"


def test_all_bad_keys_are_reported_at_once_and_by_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        load(Example, {"XENKEEP_WORKERS": "many", "XENKEEP_LISTEN": "here", "XENKEEP_LOG_LEVEL": "loud"})
    assert caught.value.reason == "CONFIGURATION_INVALID"
    assert {
        "XENKEEP_WORKERS",
        "XENKEEP_LISTEN",
        "XENKEEP_LOG_LEVEL",
        "XENKEEP_PASSWORD",
        "XENKEEP_DATA_DIR",
        "XENKEEP_TLS_CA",
        "XENKEEP_TLS_CERT",
        "XENKEEP_TLS_KEY",
    } == set(caught.value.metadata)


def test_a_secret_never_shows_itself() -> None:
    config = load(Example, GOOD)
    assert config.password.reveal() == "hunter2"
    assert "hunter2" not in repr(config) + str(config.password) + f"{config.password!r} {config.password}"


def test_a_secret_comes_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    env = {k: v for k, v in GOOD.items() if k != "XENKEEP_PASSWORD"} | {"XENKEEP_PASSWORD_FILE": str(file)}
    assert Secret("from file") == load(Example, env).password


@pytest.mark.parametrize(
    "extra",
    [
        {"XENKEEP_PASSWORD_FILE": "/nowhere/at/all", "XENKEEP_PASSWORD": ""},
        {"XENKEEP_PASSWORD_FILE": "/etc/hostname"},
    ],
    ids=["unreadable", "twice"],
)
def test_a_secret_that_is_unreadable_or_given_twice_is_refused(extra: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(Example, GOOD | extra)
    assert {"XENKEEP_PASSWORD"} == set(caught.value.metadata)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PAUSE", "5"),
        ("PAUSE", "-5s"),
        ("PAUSE", "999999999w"),
        ("RATIO", "nan"),
        ("RATIO", "x"),
        ("WORKERS", "1_000"),
        ("WORKERS", "²"),
        ("EAGER", "maybe"),
        ("LISTEN", "host:99999"),
        ("LISTEN", "host:²"),
    ],
)
def test_a_value_that_is_not_what_it_should_be_is_refused(variable: str, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(Example, GOOD | {f"XENKEEP_{variable}": text})
    assert {f"XENKEEP_{variable}"} == set(caught.value.metadata)


def test_options_describe_themselves() -> None:
    rows: dict[str, Any] = {name: (default, text) for name, default, text in describe(Example)}
    assert rows["XENKEEP_PASSWORD"] == ("required", "what opens it")
    assert rows["XENKEEP_WORKERS"] == ("2", "how many")
