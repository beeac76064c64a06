"""What is known about the state of a restore point.

Facts come late, twice and in any order, some before the point itself. Each is merged by taking the later
moment, so every order gives the same answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime

UNSPOKEN = "A verification found that it cannot be restored completely."


@dataclass(frozen=True, slots=True)
class Health:
    """``verify_time``: last found whole by any verification; ``sound_time``: by one that decoded everything.

    ``message`` is the latest that came with words, at ``message_time``.
    """

    damage_time: datetime | None = None
    message: str = ""
    message_time: datetime | None = None
    verify_time: datetime | None = None
    sound_time: datetime | None = None

    @property
    def damaged(self) -> bool:
        """Only a later verification that decoded everything takes damage back; in doubt it is damaged."""
        if self.damage_time is None:
            return False
        return self.sound_time is None or self.sound_time <= self.damage_time

    @property
    def words(self) -> str:
        """What is wrong; empty when nothing is known to be."""
        return (self.message or UNSPOKEN) if self.damaged else ""


def with_damage(health: Health, moment: datetime, message: str) -> Health:
    """Damage was found at ``moment``; ``message`` may be empty."""
    found = replace(health, damage_time=_later(health.damage_time, moment))
    spoken = (moment, message)
    if message and (health.message_time is None or spoken > (health.message_time, health.message)):
        return replace(found, message_time=moment, message=message)
    return found


def with_soundness(health: Health, moment: datetime, *, full: bool) -> Health:
    """A verification found it whole at ``moment``; ``full`` when it decoded everything."""
    verified = replace(health, verify_time=_later(health.verify_time, moment))
    return replace(verified, sound_time=_later(health.sound_time, moment)) if full else verified


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None or other > one else one
