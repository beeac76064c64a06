"""Finding a repository by what people call it."""

from services.chassis.errors import NotFound
from services.mover.domain.repository import Registration
from services.mover.ports.books import Work


async def registered(work: Work, name: str) -> Registration:
    """By id or display name; raises NotFound."""
    found = await work.repositories.get(name) or await work.repositories.find(name)
    if found is None:
        raise NotFound(
            f"There is no repository {name[:64]!r}.",
            reason="REPOSITORY_NOT_FOUND",
            hint="See `xenkeep repo list`; make one with `xenkeep repo create`.",
        )
    return found
