"""A cancellation that somebody swallowed.

``asyncio.wait_for`` of Python 3.11 returns a result that arrives together with a cancellation and forgets the
cancellation (cpython issue 86296); nats-py builds on it. A loop around such a call would go on for ever.
"""

import asyncio


def is_cancelled() -> bool:
    """Whether the current task has been asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def raise_if_cancelled() -> None:
    """Raises CancelledError when the current task has been asked to end and does not know it any more."""
    if is_cancelled():
        raise asyncio.CancelledError
