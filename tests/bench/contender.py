"""What is measured of everybody who takes part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.mover.repository import Extent
from tests.bench.process import Cost
from tests.integration.mover_io.nbdkit import Nbdkit

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image and the NBD server that serves it. ``allocated`` None: all of it."""

    image: Path
    server: Nbdkit
    allocated: tuple[Extent, ...] | None = None

    @property
    def size_bytes(self) -> int:
        return self.image.stat().st_size

    @property
    def certificates(self) -> Path:
        """The folder with what is needed to know the server."""
        return self.image.parent / f"tls-{self.server.host_id}"

    def nbdcopy(self, target: str) -> list[str]:
        """The command that reads it over TLS; ``-`` is standard output, ``null:`` nowhere."""
        uri = f"nbds://localhost:{self.server.endpoint.port}/?tls-certificates={self.certificates}"
        return ["nbdcopy", f"--connections={CONNECTIONS}", uri, target]


class Contender(Protocol):
    """Keeps its backups in a folder of its own, which it is given empty for every disk and repetition."""

    @property
    def name(self) -> str: ...

    @property
    def stored(self) -> Path:
        """The file or folder that holds its backups."""
        ...

    def full(self, disk: Disk) -> Cost:
        """The first backup; making an empty repository is not counted."""
        ...

    def incremental(self, disk: Disk, changed: Sequence[Extent]) -> Cost:
        """The backup after ``changed``, which only those look at who can make use of it."""
        ...

    def restore(self, folder: Path) -> Cost:
        """The latest backup as a raw image somewhere in ``folder``, which is empty."""
        ...

    def restored(self, folder: Path) -> Path:
        """Where in the folder the image is."""
        ...
