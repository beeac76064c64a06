"""One try at one delivery, and what came of it."""

import traceback
from dataclasses import dataclass
from pathlib import Path

from services.chassis.clock import Clock
from services.chassis.errors import FailedPrecondition, Unavailable
from services.notifier.domain.channel import Channel
from services.notifier.domain.delivery import Delivery
from services.notifier.ports import Sinks

REFUSED = "PEER_REFUSED"
"""The peer works and did not want this delivery; any other reason concerns all of the channel's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`channel_failure` says why every delivery of the channel would have failed now; empty otherwise."""

    delivery: Delivery
    channel_failure: str = ""


async def attempt(sinks: Sinks, channel: Channel, delivery: Delivery, clock: Clock) -> Outcome:
    """Never raises for what a peer, a file or a sink does: that is the delivery's outcome.

    Only a refusal of this very delivery is final. A wrong password or certificate can be corrected while the
    deliveries wait.
    """
    try:
        receipt = await sinks.of(channel).deliver(delivery)
    except (FailedPrecondition, Unavailable) as error:
        if error.reason == REFUSED:
            final = isinstance(error, FailedPrecondition)
            return Outcome(delivery.refused(str(error), clock.now(), final=final))
        return Outcome(delivery.refused(str(error), clock.now(), final=False), str(error))
    except Exception as error:  # noqa: BLE001 - the boundary: a defect in one sink must not silence the others
        return Outcome(delivery.refused(_defect(error), clock.now(), final=False))
    return Outcome(delivery.delivered(receipt, clock.now()))


def _defect(error: Exception) -> str:
    """Its kind and place; not its text, which nobody has checked for secrets."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"A defect of ours: {type(error).__name__} in {Path(place.filename).name}:{place.lineno}. Report it."
    )
