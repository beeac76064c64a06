"""Where repositories can be."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.chassis.errors import InvalidInput
from services.mover.repository import DirectoryStore, Store


def store_at(url: str, *, create: bool = False) -> Store:
    """The store of ``file:///path``; raises InvalidInput for others. ``create`` makes a missing directory."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.is_absolute():
        raise InvalidInput(
            f"{url!r} is not a place for a repository.",
            reason="REPOSITORY_URL_INVALID",
            hint="Give a directory on the mover's machine, for example file:///srv/backup.",
        )
    return DirectoryStore(path, create=create)
