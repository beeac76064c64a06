"""Where repositories can be."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.mover.repository import DirectoryStore, Store


class Stores:
    """``app.shelf.Places``: directories, as ``file:///path``."""

    def location(self, url: str) -> str:
        """See ``Places``; ``..`` and doubled slashes are resolved, symbolic links are not."""
        return _path(url).as_uri()

    def open(self, url: str, *, create: bool = False) -> Store:
        """See ``Places``."""
        path = _path(url)
        there = next(each for each in (path, *path.parents) if each.exists())
        if not there.is_dir():
            raise FailedPrecondition(
                f"{there} is not a directory.", reason="NOT_A_DIRECTORY", hint="Give a directory."
            )
        return DirectoryStore(path, create=create)


def _path(url: str) -> Path:
    try:
        parts = urlsplit(url)
        path = Path(unquote(parts.path, errors="strict"))
        usable = (
            parts.scheme == "file"
            and parts.netloc in ("", "localhost")
            and not parts.query
            and not parts.fragment
            and path.is_absolute()
            and str(path).isprintable()
        )
    except (ValueError, UnicodeDecodeError):
        usable = False
    if not usable:
        raise InvalidInput(
            f"{url[:200]!r} is not a place for a repository.",
            reason="REPOSITORY_URL_INVALID",
            hint="Give a directory on the mover's machine, for example file:///srv/backup.",
        )
    return Path("/", *_resolved(path.parts[1:]))


def _resolved(parts: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return kept
