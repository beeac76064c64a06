"""A store in a directory of a local or network file system."""

import contextlib
import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from services.chassis.errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound, Unavailable
from services.chassis.files import sync_directory
from services.mover.repository.format.damaged import unreadable
from services.mover.repository.format.names import HEADER
from services.mover.repository.lending import room_to_read
from services.mover.repository.store import StoredObject, require_possible
from services.mover.repository.stores.file_bytes import read_up_to, read_up_to_into, write_all
from services.mover.repository.stores.mounts import file_system_of
from services.mover.repository.stores.os_errors import translated
from services.mover.repository.stores.temporaries import TEMPORARY, opened_temporary, remove_if_abandoned
from services.mover.repository.types import Bytes, Entropy

_ATTEMPTS = 3


class DirectoryStore:
    """One file per object. A put is: write a temporary in the target directory, fdatasync, link, fsync.

    ``link`` never replaces a file, so creation is create-only on every file system that has hard links. After
    a failed fdatasync the kernel may have dropped the pages and forgotten the error, so the object is written
    again to a new file (https://lwn.net/Articles/752063/). A temporary is locked while it is written, so that
    a sweep by another process leaves it alone; where locks do not work, the link fails and the put starts
    over. Packs go past the page cache where the file system lets them.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        entropy: Entropy = os.urandom,
        on_notice: Callable[[str, str], None] | None = None,
    ) -> None:
        """``create`` makes a missing directory; ``on_notice(code, message)`` hears of every retry.

        Raises FailedPrecondition when ``path`` is no directory, NotFound when it is missing.
        """
        self._root = path.absolute()
        self._entropy = entropy
        self._notice = on_notice or _log
        self._known: set[Path] = set()
        self._lock = threading.Lock()
        self._identity = self._opened_root(create)

    @property
    def location(self) -> str:
        return self._root.as_uri()

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        path = self._path(name)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with translated("write", name, self.location):
                    self._ensure_directory(path.parent)
                    self._put_once(path, name, parts)
                return
            except (Unavailable, NotFound) as error:
                self._known.clear()
                self._require_same_root()
                if attempt == _ATTEMPTS:
                    raise Unavailable(
                        f"{name} could not be written durably: {error.message}",
                        reason="STORE_IO_ERROR",
                        hint="Check the disk or the mount; nothing that was committed is affected.",
                        metadata={"object": name},
                    ) from error
                self._notice("STORE_REWRITE", f"{error.message} It is written again to another file.")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._reading(name) as descriptor:
            wanted = os.fstat(descriptor).st_size - offset if length is None else length
            require_possible(name, wanted)
            data = read_up_to(descriptor, offset, wanted) if wanted > 0 else b""
        _require_all(name, data, wanted)
        return data

    @contextlib.contextmanager
    def lend(self, name: str, offset: int, length: int) -> Iterator[memoryview]:
        """See ``LendingStore``."""
        require_possible(name, length)
        with room_to_read(length) as room:
            with self._reading(name) as descriptor:
                data = read_up_to_into(descriptor, offset, length, room)
            _require_all(name, data, length)
            yield data

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[int]:
        try:
            with translated("read", name, self.location), self._path(name).open("rb", buffering=0) as file:
                yield file.fileno()
        except Unavailable as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EIO:
                raise
            self._require_readable(error)
            raise unreadable(name, error.message) from error

    def size(self, name: str) -> int:
        with translated("find", name, self.location):
            return self._path(name).stat().st_size

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._require_same_root()
        folder, _, start = prefix.rpartition("/")
        with translated("list", prefix, self.location):
            for path, entry in self._walk(self._root / folder, start):
                if not entry.name.startswith("."):
                    with contextlib.suppress(FileNotFoundError):
                        yield StoredObject(path, entry.stat(follow_symlinks=False).st_size)

    def delete(self, name: str) -> None:
        path = self._path(name)
        with translated("delete", name, self.location):
            path.unlink()
            sync_directory(path.parent)

    def sweep(self) -> int:
        swept = 0
        with translated("sweep", "temporaries", self.location):
            for path, entry in self._walk(self._root, ""):
                if entry.name.startswith(TEMPORARY):
                    swept += remove_if_abandoned(self._root / path)
        return swept

    def settle(self, prefix: str) -> None:
        folder = self._root / prefix.rpartition("/")[0]
        with translated("sync", prefix, self.location):
            for below, _, _ in os.walk(folder) if prefix.endswith("/") else ():
                sync_directory(Path(below))
            while folder.is_dir():
                sync_directory(folder)
                if folder == self._root:
                    return
                folder = folder.parent

    def free_bytes(self) -> int | None:
        with translated("measure", "its space", self.location):
            return shutil.disk_usage(self._root).free

    def file_system(self) -> str | None:
        """See ``FileSystemStore``."""
        return file_system_of(self._root)

    def _put_once(self, path: Path, name: str, parts: Sequence[Bytes]) -> None:
        temporary, descriptor = opened_temporary(path.parent, self._entropy)
        try:
            write_all(descriptor, parts)
            os.fdatasync(descriptor)
            self._link(descriptor, temporary, path, name)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            os.close(descriptor)
        temporary.unlink(missing_ok=True)
        try:
            sync_directory(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def _link(self, descriptor: int, temporary: Path, path: Path, name: str) -> None:
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A network file system may repeat a link that worked: then the name is our own file.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return
            raise AlreadyExists(
                f"{name} exists already.", reason="OBJECT_EXISTS", metadata={"object": name}
            ) from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            raise FailedPrecondition(
                f"{self.location} is on a file system without hard links.",
                reason="STORE_UNSUITABLE",
                hint="Use ext4, XFS, Btrfs, ZFS or NFS: create-only, durable files need hard links.",
            ) from error

    def _opened_root(self, create: bool) -> os.stat_result:
        """The identity of the directory, which must stay the same: an unmounted one looks empty."""
        if create:
            with translated("create", "its directory", self.location):
                _make_directories(self._root)
        try:
            found = self._root.stat()
        except OSError as error:
            raise NotFound(
                f"{self._root} does not exist.", reason="STORE_MISSING", hint="Is the file system mounted?"
            ) from error
        if not self._root.is_dir():
            raise FailedPrecondition(
                f"{self._root} is not a directory.", reason="NOT_A_DIRECTORY", hint="Give a directory."
            )
        return found

    def _require_readable(self, error: Unavailable) -> None:
        """Raises the error unless other objects can be read: then it is a bad sector, not a bad mount."""
        try:
            self._path(HEADER).read_bytes()
        except OSError:
            raise error from None

    def _require_same_root(self) -> None:
        if not self._root.is_dir() or not os.path.samestat(self._root.stat(), self._identity):
            raise Unavailable(
                f"{self._root} is not the directory it was: it was unmounted, or replaced.",
                reason="STORE_GONE",
                hint="Mount the file system again; nothing that was committed is affected.",
            )

    def _ensure_directory(self, folder: Path) -> None:
        if folder not in self._known:
            with self._lock:
                self._require_same_root()
                self._make_durable(folder)

    def _make_durable(self, folder: Path) -> None:
        """Make the directory; sync its parents even if it exists, since its maker may have died first."""
        if folder == self._root or folder in self._known:
            return
        self._make_durable(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(folder.parent)
        self._known.add(folder)

    def _walk(self, folder: Path, start: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Files under ``folder`` whose first component below it starts with ``start``."""
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                if not entry.name.startswith(start):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        yield from self._walk(Path(entry.path), "")
                else:
                    yield str(Path(entry.path).relative_to(self._root)), entry

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        assert all(part and not part.startswith(".") for part in parts), "names are made by format.names"
        return self._root.joinpath(*parts)


def _require_all(name: str, data: Bytes, wanted: int) -> None:
    if len(data) != wanted:
        raise DataLoss(f"{name} is shorter than expected.", reason="OBJECT_SHORT", metadata={"object": name})


def _make_directories(folder: Path) -> None:
    if not folder.exists():
        _make_directories(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(folder.parent)


def _log(code: str, message: str) -> None:
    logging.getLogger(__name__).warning("%s: %s", code, message)
