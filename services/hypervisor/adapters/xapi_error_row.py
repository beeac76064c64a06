"""One row of the tables that turn the pool's error codes into sentences."""

from dataclasses import dataclass

from services.chassis.errors import XenkeepError

RETRY = "Try again when the other operation has ended."
SPACE = "Free space on the storage repository or choose another one."
LATER = "Wait until the pool has settled and try again."
TOOLS = "Install or start the guest tools, or use another method."


@dataclass(frozen=True)
class Row:
    """``message`` may use {0}, {1}... for the error's parameters that are not references. ``kind`` decides
    whether it is tried again: Aborted, ResourceExhausted, Unavailable and DeadlineExceeded are.
    """

    kind: type[XenkeepError]
    reason: str
    message: str
    hint: str
