"""What a verification saw."""

from dataclasses import dataclass, field

from services.mover.repository.sampling import Sampled


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged object and the restore points that cannot be restored completely because of it."""

    object: str
    problem: str
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification saw. Sizes in bytes.

    A ``sample`` calls no point sound: what it did not read may be damaged.
    """

    findings: tuple[Finding, ...]
    sound_points: tuple[str, ...]
    damaged_points: tuple[str, ...]
    checked_objects: int
    checked_bytes: int
    sampled: Sampled | None = None
    notices: tuple[tuple[str, str], ...] = ()
    """Code and sentence of what was hidden, and of what an earlier verification had read."""
    resumed_bytes: int = 0
    """Of ``checked_bytes``, those that an earlier verification, which did not end, had read."""


@dataclass(slots=True)
class Tally:
    """What it has seen so far. Sizes in bytes."""

    objects: int = 0
    size: int = 0
    resumed: int = 0
    """Of ``size``, what an earlier verification had read."""
    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong with objects, by name."""
    lost: set[tuple[bytes, bytes]] = field(default_factory=set)
    """(pack, blob) of copies that do not decode."""
    notices: list[tuple[str, str]] = field(default_factory=list)
