"""Which database each service of this machine keeps its state in.

``XENKEEP_DATABASE_URL`` of ``xenkeep up`` is for all services, each in a schema of its own;
``XENKEEP_<SERVICE>_DATABASE_URL`` for one of them. Either may name a file instead (``..._URL_FILE``). A
service without one has an SQLite file in its folder. No program is told the database of another.
"""

from collections.abc import Mapping

_VARIABLES = ("DATABASE_URL", "DATABASE_URL_FILE")


def database_of(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which ``service`` is told its database; none for SQLite."""
    own = _given(environment, f"XENKEEP_{service.upper()}_")
    return own or _given(environment, "XENKEEP_")


def without_databases(environment: Mapping[str, str]) -> dict[str, str]:
    """What every program may know."""
    return {name: value for name, value in environment.items() if not name.endswith(_VARIABLES)}


def _given(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    found = {f"XENKEEP_{name}": environment.get(prefix + name, "") for name in _VARIABLES}
    return {name: value for name, value in found.items() if value}
