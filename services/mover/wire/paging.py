"""Pages."""

from services.chassis.errors import InvalidInput

LARGEST = 1000


def page_size(asked: int, default: int) -> int:
    """How many to show; raises InvalidInput for a negative number."""
    if asked < 0:
        raise InvalidInput(
            "page_size is negative.", reason="PAGE_SIZE_INVALID", hint="Leave it out or give 1 to 1000."
        )
    return min(asked or default, LARGEST)
