"""What a person should know although the work went on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """``code`` is stable, upper snake case; ``message`` one sentence."""

    code: str
    message: str
