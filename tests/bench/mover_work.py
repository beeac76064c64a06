"""What the mover does, in a process of its own so that its memory and processor time can be told.

Run: python -m tests.bench.mover_work <order.json>; prints a JSON object. The clock starts before the
repository is opened and stops after the commit, the last write or the last check. ``opening_seconds`` is the
part that a mover, which keeps repositories open, spends once: Argon2id mostly. Processor seconds count from
the start of Python, ``opening_cpu_seconds`` to the moment the repository is open.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_pool import NbdPool
from services.mover.adapters.nbd_supply import NbdPoolOptions
from services.mover.adapters.raw_image import RawImage
from services.mover.app.backup import DEFAULT_CONNECTIONS
from services.mover.repository import (
    BackupOptions,
    DirectoryStore,
    DiskRequest,
    Extent,
    PointDescription,
    Repository,
    create_repository,
    open_repository,
)

PASSPHRASE = "a passphrase for nothing but benchmarks"
DISK = "disk"


@dataclass(frozen=True, slots=True)
class Order:
    """``extents`` None: everything. Sizes in bytes."""

    verb: str
    repository: str
    cache: str
    size: int = 0
    port: int = 0
    certificate: str = ""
    point: str = ""
    base: str | None = None
    extents: list[list[int]] | None = None
    target: str = ""


class Opened:
    """The order's repository as a context, and how long opening it took."""

    def __init__(self, order: Order) -> None:
        started = time.perf_counter()
        store = DirectoryStore(Path(order.repository))
        self.repository = open_repository(store, PASSPHRASE, Path(order.cache))
        self.facts: dict[str, Any] = {
            "opening_seconds": time.perf_counter() - started,
            "opening_cpu_seconds": time.process_time(),
        }

    def __enter__(self) -> Repository:
        return self.repository

    def __exit__(self, *_: object) -> None:
        self.repository.close()


def create(order: Order) -> dict[str, Any]:
    Path(order.cache).mkdir(parents=True)
    store = DirectoryStore(Path(order.repository), create=True)
    repository, _ = create_repository(store, PASSPHRASE, Path(order.cache))
    repository.close()
    return {}


def backup(order: Order) -> dict[str, Any]:
    """As the mover's backup job does it, with the options of an unconfigured mover."""
    endpoint = NbdEndpoint("host", "127.0.0.1", order.port, "", order.certificate, "localhost")
    source = NbdPool(order.size, [endpoint], lambda: [endpoint], NbdPoolOptions(DEFAULT_CONNECTIONS))
    extents = None if order.extents is None else tuple(Extent(*each) for each in order.extents)
    base_disk = DISK if order.base else None
    request = DiskRequest(DISK, order.size, extents, base_disk, source_ref=f"snapshot of {order.point}")
    options = BackupOptions(readers=DEFAULT_CONNECTIONS)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    description = PointDescription({"id": "vm", "name": "bench"}, "normal", "crash", now, now)
    opened = Opened(order)
    try:
        with (
            opened as repository,
            repository.begin_backup(
                order.point, order.base, transfer_id=order.point, options=options
            ) as session,
        ):
            session.disk(request, source)
            session.commit(description)
    finally:
        source.close()
    notices = [notice.code for notice in source.notices()]
    return opened.facts | {"read_bytes": source.bytes_read, "notices": notices}


def restore(order: Order) -> dict[str, Any]:
    opened = Opened(order)
    with opened as repository, RawImage(Path(order.target), order.size, fresh=True) as target:
        written = repository.restore_disk(order.point, DISK, target)
    return opened.facts | {"written_bytes": written}


def verify(order: Order) -> dict[str, Any]:
    opened = Opened(order)
    with opened as repository:
        result = repository.verify(full=True)
    return opened.facts | {"checked_bytes": result.checked_bytes, "findings": len(result.findings)}


def prune(order: Order) -> dict[str, Any]:
    """Without the order's point, and without its stay in the trash."""
    opened = Opened(order)
    with opened as repository:
        repository.delete_point(order.point, purge=True)
        report = repository.prune()
    return opened.facts | {"deleted_bytes": report.deleted_bytes}


VERBS: Mapping[str, Callable[[Order], dict[str, Any]]] = {
    "create": create,
    "backup": backup,
    "restore": restore,
    "verify": verify,
    "prune": prune,
}


def main() -> None:
    order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    started = time.perf_counter()
    facts = VERBS[order.verb](order)
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time()} | facts))


if __name__ == "__main__":
    main()
