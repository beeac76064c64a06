"""Which parts of the data model exist in a given release.

Releases before 2020 have names, later ones are numbered by xapi's own version (xapi:
ocaml/idl/datamodel_types.ml).
"""

from collections.abc import Sequence
from enum import Enum

Release = tuple[int, ...]

NAMED_RELEASES = (
    "rio",
    "symc",
    "miami",
    "orlando",
    "orlando-update-1",
    "george",
    "midnight-ride",
    "cowley",
    "boston",
    "tampa",
    "clearwater",
    "vgpu-tech-preview",
    "vgpu-productisation",
    "clearwater-felton",
    "clearwater-whetstone",
    "creedence",
    "cream",
    "indigo",
    "dundee",
    "ely",
    "falcon",
    "inverness",
    "jura",
    "kolkata",
    "lima",
    "naples",
    "quebec",
    "stockholm",
    "stockholm_psr",
)
"""Oldest first; all are older than any numbered release."""


class Presence(Enum):
    """What a release makes of a part of the model."""

    ABSENT = "absent"
    PRESENT = "present"
    REMOVED = "removed"
    """Still known by name: calling it answers ``MESSAGE_REMOVED``."""


def release(name: str) -> Release:
    """A comparable release. Raises ``ValueError`` for a name that is neither known nor numbers."""
    if name in NAMED_RELEASES:
        return (0, NAMED_RELEASES.index(name))
    numbers, _, next_one = name.partition("-next")
    parsed = tuple(int(part) for part in numbers.split("."))
    return (*parsed, 1) if next_one == "" and name.endswith("-next") else parsed


def presence(transitions: Sequence[tuple[str, str]], at: Release) -> Presence:
    """What became of a part with these ``(state, release)`` transitions by the release ``at``."""
    reached = [state for state, since in transitions if release(since) <= at]
    if not reached:
        return Presence.ABSENT
    return Presence.REMOVED if reached[-1] == "removed" else Presence.PRESENT
