"""Where repositories can be."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.mover.repository import DirectoryStore, Store
from services.mover.repository.stores.append_only import AppendOnlyStore
from services.mover.repository.stores.s3 import S3Store
from services.mover.repository.stores.s3_place import parse_place

_APPEND_ONLY = "mode=append-only"


class Stores:
    """``app.shelf.Places``: directories, as ``file:///path``, and buckets, as ``s3://bucket/prefix?…``.

    With ``mode=append-only`` in the URL nothing is ever deleted there by this mover.
    """

    def __init__(self, s3_credentials: Path | None = None, s3_ca: Path | None = None) -> None:
        """``s3_credentials`` is the directory of credential files, ``s3_ca`` a PEM file of authorities."""
        self._s3_credentials, self._s3_ca = s3_credentials, s3_ca

    def location(self, url: str) -> str:
        """See ``Places``; ``..`` and doubled slashes are resolved, symbolic links are not."""
        plain, append_only = _split_mode(url)
        written = parse_place(plain).url if _is_s3(plain) else _path(plain).as_uri()
        return f"{written}{'&' if '?' in written else '?'}{_APPEND_ONLY}" if append_only else written

    def open(
        self, url: str, *, create: bool = False, on_notice: Callable[[str, str], None] | None = None
    ) -> Store:
        """See ``Places``. A bucket is never made: it is the administrator's to set up."""
        url, append_only = _split_mode(url)
        store = self._open(url, create=create, on_notice=on_notice)
        return AppendOnlyStore(store) if append_only else store

    def _open(self, url: str, *, create: bool, on_notice: Callable[[str, str], None] | None) -> Store:
        if _is_s3(url):
            return S3Store(
                parse_place(url), credentials=self._s3_credentials, ca=self._s3_ca, on_notice=on_notice
            )
        path = _path(url)
        there = next(each for each in (path, *path.parents) if each.exists())
        if not there.is_dir():
            raise FailedPrecondition(
                f"{there} is not a directory.", reason="NOT_A_DIRECTORY", hint="Give a directory."
            )
        return DirectoryStore(path, create=create, on_notice=on_notice)


def _split_mode(url: str) -> tuple[str, bool]:
    """The URL without its mode, and whether that is append-only."""
    before, _, query = url.partition("?")
    options = query.split("&") if query else []
    others = [each for each in options if each != _APPEND_ONLY]
    return f"{before}?{'&'.join(others)}" if others else before, len(others) < len(options)


def _is_s3(url: str) -> bool:
    return url.lower().startswith("s3:")


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
            hint="Give a directory on the mover's machine, for example file:///srv/backup, or a bucket, for"
            " example s3://bucket/prefix?endpoint=https://s3.example.org.",
        )
    return Path("/", *_resolved(path.parts[1:]))


def _resolved(parts: Sequence[str]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return kept
