"""Resource names."""

from services.chassis.errors import InvalidInput


def point_name(point_id: str) -> str:
    return f"restorePoints/{point_id}"


def id_in(name: str, collection: str) -> str:
    """The id in ``{collection}/{id}``; the bare id is understood too. Raises InvalidInput NAME_INVALID."""
    head, slash, tail = name.rpartition("/")
    if not tail or len(tail) > 200 or (slash and head != collection):
        raise InvalidInput(
            f"{name[:200]!r} is not the name of one of {collection}.",
            reason="NAME_INVALID",
            hint=f"Write {collection}/{{id}}.",
        )
    return tail
