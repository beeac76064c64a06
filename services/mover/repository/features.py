"""What a release that does not know a feature must not do (docs/repository-format.md, section 12)."""

from collections.abc import Iterable

from services.mover.repository.format.header import Header, features_from_names, refuse_unknown_features
from services.mover.repository.format.names import FEATURES
from services.mover.repository.store import Store


def require_openable(store: Store) -> None:
    """Raises FailedPrecondition when a mandatory feature that was switched on since creation is unknown."""
    _refuse_unknown(store, "mandatory")


def require_writable(store: Store, header: Header) -> None:
    """Raises FailedPrecondition when this release may only read the repository, or not even that any more."""
    require_openable(store)
    _refuse_unknown(store, "writer", header.writer)


def _refuse_unknown(store: Store, kind: str, more: Iterable[str] = ()) -> None:
    names = [stored.name for stored in store.list(FEATURES)]
    refuse_unknown_features(kind, [*more, *features_from_names(names, kind)])
