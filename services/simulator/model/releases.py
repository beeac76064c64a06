"""Releases by the names that operators know them by."""

from collections.abc import Collection
from dataclasses import dataclass

from services.simulator.model.lifecycle import Release, release


@dataclass(frozen=True)
class Toolstack:
    """``xapi`` is its own version, ``product`` what the host calls itself, ``api_minor`` of API version 2."""

    xapi: str
    release: Release
    product: str
    api_minor: int


_PRODUCTS = {
    "8.0": Toolstack("1.160.0", release("naples"), "8.0.0", 12),
    "8.1": Toolstack("1.214.0", release("quebec"), "8.1.0", 14),
    "8.2": Toolstack("1.249.0", release("stockholm_psr"), "8.2.1", 15),
}
"""Products older than the numbered releases (xapi: ocaml/idl/datamodel_types.ml)."""
_LAST_NAMED, FIRST_BY_YEAR = (1, 249), (21,)
"""Versions of xapi itself: up to 1.329, then by the year."""
_FIRST_WITH_2_21 = (24,)


_SCHEMA_MAJOR = 5
_SCHEMAS = {"naples": 400, "quebec": 504, "stockholm": 601, "stockholm_psr": 602}
"""Of the releases with names (xapi: ocaml/idl/datamodel_common.ml)."""
_RECORDED, _RECORDED_SCHEMA = (23, 1, 0), 759


def database_schema(at: Release, changes: Collection[Release]) -> tuple[int, int]:
    """Major and minor version of the database's schema. ``changes`` are releases that changed a field.

    Of releases with numbers only that of 23.1 is known, from a recording; those of others are counted from
    it, so that they differ where fields do.
    """
    for name, minor in _SCHEMAS.items():
        if at == release(name):
            return _SCHEMA_MAJOR, minor
    later = sum(_RECORDED < change <= at for change in changes)
    earlier = sum(at < change <= _RECORDED for change in changes)
    return _SCHEMA_MAJOR, _RECORDED_SCHEMA + later - earlier


def toolstack(version: str) -> Toolstack:
    """Of a product (``8.0``, ``8.1``, ``8.2``) or of xapi itself (``23.1.0``, ``26.17``).

    Raises ``ValueError`` for anything else.
    """
    if version in _PRODUCTS:
        return _PRODUCTS[version]
    try:
        at = release(version)
    except ValueError:
        at = (0,)
    if len(at) < 2 or not (_LAST_NAMED <= at < (2,) or at >= FIRST_BY_YEAR):
        known = ", ".join(_PRODUCTS)
        raise ValueError(f"no version {version}; give {known} or one of xapi itself, such as 23.1.0")
    new = at >= _FIRST_WITH_2_21
    if len(at) == 2:
        version, at = f"{version}.0", (*at, 0)
    return Toolstack(version, at, "8.4.0" if new else "8.2.50", 21 if new else 20)
