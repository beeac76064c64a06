"""A store that nothing is deleted from, whatever the place would let us do."""

from services.chassis.errors import FailedPrecondition, PermissionDenied
from services.mover.repository.store import Store
from services.mover.repository.stores.forwarding import ForwardingStore


class AppendOnlyStore(ForwardingStore):
    """Whoever has only this backs up and restores, and frees no space.

    It keeps this program from deleting, by mistake or by command. What keeps a thief of its credentials from
    it are rights at the place itself; this is how a mover is told that it has no others.
    """

    def delete(self, name: str) -> None:
        self.size(name)
        raise PermissionDenied(
            f"{name} is not deleted: this mover only adds to {self.location}.",
            reason="STORE_APPEND_ONLY",
            hint="Delete and prune from a mover that may.",
            metadata={"object": name},
        )

    def sweep(self) -> int:
        """What broken puts left is for those who may delete."""
        return 0


def require_deletions(store: Store) -> None:
    """Raises FailedPrecondition before anything is begun that this mover could not finish."""
    if isinstance(store, AppendOnlyStore):
        raise FailedPrecondition(
            f"This mover only adds to {store.location}: it deletes, takes back and prunes nothing there.",
            reason="REPOSITORY_APPEND_ONLY",
            hint="Do so from a site where the repository is in service without mode=append-only.",
        )
