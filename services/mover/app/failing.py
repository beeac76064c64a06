"""Cleaning up after a failure without hiding it."""

from collections.abc import Awaitable

from services.chassis.errors import XenkeepError


async def cleaned_up(first: Exception, cleaning: Awaitable[None], otherwise: str) -> None:
    """Await ``cleaning``; when it fails too, ``first`` says so in its hint, and ``otherwise``, who goes on.

    The caller raises ``first``.
    """
    try:
        await cleaning
    except XenkeepError as error:
        told = f"Cleaning up failed as well: {error.message} {otherwise}"
        if isinstance(first, XenkeepError):
            first.hint = f"{first.hint} {told}".strip()
        else:
            first.add_note(told)
