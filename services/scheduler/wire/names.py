"""Resource names."""

import re

from services.chassis.errors import InvalidInput

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def policy_name(policy_id: str) -> str:
    return f"policies/{policy_id}" if policy_id else ""


def run_name(run_id: str) -> str:
    return f"runs/{run_id}"


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


def request_id_from(request_id: str) -> str:
    """A UUID in its usual form, or empty. Raises InvalidInput REQUEST_ID_INVALID."""
    if request_id and not _UUID.fullmatch(request_id):
        raise InvalidInput(
            "The request id is not a UUID.",
            reason="REQUEST_ID_INVALID",
            hint="Choose a random UUID, for example 0b7f2a52-6a3c-4c0e-9a55-5f2f3d1c9c1e.",
        )
    return request_id.lower()
