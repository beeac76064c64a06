"""How often a message is tried, and how long between."""

from dataclasses import dataclass

from services.chassis.errors import Aborted, Internal, ResourceExhausted, Unavailable

WAITING = (Unavailable, ResourceExhausted, Aborted)
"""Errors that say nothing against the message: what it needs is away, full or contended."""


@dataclass(frozen=True, slots=True)
class Redelivery:
    """Pauses double from ``first_pause_s`` up to ``longest_pause_s``; seconds.

    JetStream counts deliveries and forgets why the last one failed. So a failure is final from delivery
    ``max_deliveries`` on, of the kinds in WAITING (and the death of the worker) from
    ``max_waits`` on.
    """

    max_deliveries: int = 10
    max_waits: int = 50
    first_pause_s: float = 0.2
    longest_pause_s: float = 10.0

    def pause(self, failures: int) -> float:
        """Seconds before the next try after ``failures`` (1 or more) in a row."""
        return min(self.first_pause_s * 2.0 ** min(failures - 1, 30), self.longest_pause_s)

    def is_final(self, error: BaseException, deliveries: int) -> bool:
        """Whether the delivery numbered ``deliveries`` (from 1), which ended with ``error``, was the last."""
        waiting = isinstance(error, WAITING)
        return deliveries >= (self.max_waits if waiting else self.max_deliveries)

    def check_worker_survives(self, deliveries: int) -> None:
        """Raises Internal WORKER_DIED on a delivery that only a series of dead workers explains."""
        if deliveries > self.max_waits:
            raise Internal(
                f"Delivered {self.max_waits} times and never finished; it may be what kills its workers.",
                reason="WORKER_DIED",
            )
