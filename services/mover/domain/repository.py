"""Repositories as this site knows them."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.chassis.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")


class RepositoryState(StrEnum):
    """How a repository is doing."""

    READY = "ready"
    UNAVAILABLE = "unavailable"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Registration:
    """A repository in service: who it is, what people call it, where it is. Its secret is kept elsewhere."""

    repository_id: str
    display_name: str
    url: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class RepositoryStatus:
    """What a repository says of itself now; figures are 0 when it cannot be asked."""

    registration: Registration
    state: RepositoryState
    state_message: str
    format_version: int
    chunk_bytes: int
    point_count: int
    stored_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Key:
    """One key slot; ``in_use`` is the one this site opens the repository with."""

    key_id: str
    kind: str
    label: str
    in_use: bool


def check_display_name(name: str) -> None:
    """Raises InvalidInput unless ``name`` can be used in commands and messages."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be a repository's name.",
            reason="NAME_INVALID",
            hint="Use up to 63 letters, digits, blanks, dots, dashes; start with a letter or digit.",
        )
