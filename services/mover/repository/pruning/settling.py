"""Waiting for writers who may rely on what is about to go, or taking their right away."""

from collections.abc import Callable, Iterable
from typing import Final

from services.mover.repository.context import Context
from services.mover.repository.leasewatch import highest_numbers, older_writers, revoke
from services.mover.repository.reserve import with_ballast

_LOOK_SECONDS: Final = 5.0


class Settling:
    """Watches writers by their leases, with this process's own monotonic clock."""

    def __init__(self, context: Context, patience_seconds: float, pause: Callable[[float], None]) -> None:
        """``pause`` waits so many seconds, or raises when it is to stop."""
        self._context = context
        self._patience = patience_seconds
        self._pause = pause
        self.revoked: list[str] = []

    def older(self, plan_ids: Iterable[str]) -> dict[str, set[str]]:
        """Points, by plan, of older writers that are alive; those that are dead have lost their leases.

        Returns as soon as every older writer is known to be alive, or to be gone.
        """
        wanted = list(plan_ids)
        first = highest_numbers(self._context)
        began = self._context.time.monotonic()
        alive: set[str] = set()
        while True:
            older = {plan_id: older_writers(self._context, plan_id) for plan_id in wanted}
            now = highest_numbers(self._context)
            alive |= {point_id for point_id, number in now.items() if number != first.get(point_id)}
            doubtful = set().union(*older.values()) - alive
            if not doubtful:
                return older
            if self._context.time.monotonic() - began >= self._patience:
                for point_id in sorted(doubtful):
                    self._revoke(point_id)
                continue
            self._pause(min(_LOOK_SECONDS, self._patience))

    def _revoke(self, point_id: str) -> None:
        if with_ballast(self._context, lambda: revoke(self._context, point_id)):
            self.revoked.append(point_id)
            self._context.on_notice(
                "WRITER_REVOKED",
                f"The writer of point {point_id} did not show itself for {self._patience:.0f} s: it cannot"
                " make the point any more.",
            )
