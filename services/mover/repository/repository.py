"""A repository: what can be done with one."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidInput, NotFound
from services.mover.repository.checkpoint import remove_checkpoints
from services.mover.repository.context import Context, Listener
from services.mover.repository.creation import write_new_repository
from services.mover.repository.damage import recorded_damage
from services.mover.repository.epochs import learn_epochs, start_epoch
from services.mover.repository.extents import Extent
from services.mover.repository.format.crypto import same
from services.mover.repository.format.header import DEFAULT_CHUNK_BYTES, DEFAULT_PACK_BYTES
from services.mover.repository.format.names import POINTS, point_name, slot_name
from services.mover.repository.format.point import Disk, RestorePoint, decode_body
from services.mover.repository.format.recovery_key import SECRET_BYTES, print_recovery_key
from services.mover.repository.format.slot import (
    PASSPHRASE,
    RECOVERY,
    Argon2Cost,
    checked_passphrase,
    make_slot,
)
from services.mover.repository.format.stream import StreamRef
from services.mover.repository.index import Index
from services.mover.repository.indexing import rebuild_index, sync_index
from services.mover.repository.keys import GENERATION, KeyRing
from services.mover.repository.objects import Entropy, SealedObjects
from services.mover.repository.opening import read_header, read_slots, require_writable, unlock
from services.mover.repository.ports import BlockTarget, ProgressListener, Time
from services.mover.repository.reader import BlobReader
from services.mover.repository.request import BackupOptions
from services.mover.repository.restore import (
    RestoreOptions,
    data_extents,
    read_range,
    require_readable,
    restore_disk,
)
from services.mover.repository.session import BackupSession
from services.mover.repository.store import Store
from services.mover.repository.stream import read_stream
from services.mover.repository.verify import Verification, verify

_LEAST_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sizes in bytes; ``free_bytes`` None when the store cannot tell."""

    points: int
    packs: int
    pack_bytes: int
    blobs: int
    free_bytes: int | None


def create_repository(
    store: Store,
    passphrase: str,
    cache_dir: Path,
    *,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    pack_bytes: int = DEFAULT_PACK_BYTES,
    cost: Argon2Cost | None = None,
    time: Time | None = None,
    entropy: Entropy = os.urandom,
    on_notice: Listener | None = None,
) -> "tuple[Repository, str]":
    """A new repository in an empty store, opened, and its printable recovery key, which is kept nowhere.

    Raises InvalidInput for impossible parameters, AlreadyExists or FailedPrecondition when the store is not
    empty.
    """
    created = (time or SystemClock()).now().strftime("%Y-%m-%dT%H:%M:%SZ")
    recovery_key = write_new_repository(
        store,
        passphrase,
        chunk_bytes=chunk_bytes,
        pack_bytes=pack_bytes,
        created_time=created,
        cost=cost or Argon2Cost(),
        entropy=entropy,
    )
    opened = open_repository(store, passphrase, cache_dir, time=time, entropy=entropy, on_notice=on_notice)
    return opened, recovery_key


def open_repository(
    store: Store,
    secret: str,
    cache_dir: Path,
    *,
    time: Time | None = None,
    entropy: Entropy = os.urandom,
    on_notice: Listener | None = None,
) -> "Repository":
    """An existing repository, by passphrase or recovery key. Writes nothing to the store.

    ``cache_dir`` keeps the disposable index cache. Raises NotFound when there is no repository,
    FailedPrecondition when it needs a newer release, Unauthenticated for a wrong secret, DataLoss when the
    header is damaged.
    """
    notices: list[tuple[str, str]] = []

    def note(code: str, message: str) -> None:
        notices.append((code, message))
        if on_notice is not None:
            on_notice(code, message)

    unproven = read_header(store)
    root, _ = unlock(read_slots(store, note), secret, store.location, note)
    header = unproven.proven(root)
    keys = KeyRing(root, header.repository_id)
    place = hashlib.sha256(header.repository_id + store.location.encode()).hexdigest()[:32]
    index = Index(cache_dir / f"index-{place}.sqlite")
    context = Context(
        store=store,
        keys=keys,
        header=header,
        index=index,
        objects=SealedObjects(store, keys, entropy),
        reader=BlobReader(store, keys, index),
        entropy=entropy,
        time=time or SystemClock(),
        on_notice=note,
    )
    try:
        learn_epochs(context)
        sync_index(context)
    except BaseException:
        index.close()
        raise
    return Repository(context, notices)


class Repository:
    """An opened repository. Safe to use from several threads; close it, or use it as a context manager."""

    def __init__(self, context: Context, notices: list[tuple[str, str]]) -> None:
        self._context = context
        self._notices = notices
        self._swept = False

    @property
    def repository_id(self) -> str:
        """32 hexadecimal digits. A mirror has the same id as its original."""
        return self._context.header.repository_id.hex()

    @property
    def chunk_bytes(self) -> int:
        return self._context.chunk_bytes

    @property
    def created_time(self) -> str:
        return self._context.header.created_time

    @property
    def notices(self) -> list[tuple[str, str]]:
        """Code and sentence of everything that was less than expected since opening."""
        return list(self._notices)

    def close(self) -> None:
        self._context.index.close()

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin_backup(
        self,
        point_id: str,
        base_point: str | None = None,
        *,
        transfer_id: str | None = None,
        options: BackupOptions | None = None,
    ) -> BackupSession:
        """Start the backup that makes ``point_id``, or resume it by its ``transfer_id``.

        Raises AlreadyExists when the point is committed (the first try of a retry succeeded),
        FailedPrecondition when the base point cannot be used, Aborted when another mover has the transfer.
        """
        context = self._context
        if self._exists(point_name(point_id)):
            if transfer_id is not None:
                remove_checkpoints(context, transfer_id)
            raise AlreadyExists(
                f"Restore point {point_id} exists already.",
                reason="POINT_EXISTS",
                hint="If this is a retry, the first try succeeded.",
                metadata={"point": point_id},
            )
        self._prepare_writing()
        sync_index(context)
        base = self._base(base_point) if base_point is not None else None
        return BackupSession(context, point_id, base, transfer_id, options or BackupOptions())

    def list_points(self) -> list[str]:
        """Ids of all committed points, sorted."""
        return sorted(stored.name.removeprefix(POINTS) for stored in self._context.store.list(POINTS))

    def get_point(self, point_id: str) -> RestorePoint:
        """Raises NotFound, or DataLoss when the point object is damaged."""
        name = point_name(point_id)
        try:
            public, body = self._context.objects.get("point", name)
        except NotFound:
            raise NotFound(
                f"There is no restore point {point_id}.",
                reason="POINT_MISSING",
                hint="List the points of this repository.",
                metadata={"point": point_id},
            ) from None
        self._take_segments(public.get("segments"))
        return decode_body(body, name)

    def data_extents(self, point_id: str, disk_id: str) -> list[Extent]:
        """What a restore of the disk will write, ascending and apart; every other byte is zero."""
        _, disk = self._disk(point_id, disk_id)
        return list(data_extents(self._context.disk_map(disk)))

    def restore_disk(
        self,
        point_id: str,
        disk_id: str,
        target: BlockTarget,
        *,
        options: RestoreOptions | None = None,
        listener: ProgressListener | None = None,
        cancel: threading.Event | None = None,
    ) -> int:
        """Write the disk's ``data_extents`` to ``target``; bytes written.

        Raises DataLoss, before the first write when the damage is known; never writes zeros for lost data.
        """
        _, disk = self._disk(point_id, disk_id)
        sync_index(self._context)
        return restore_disk(
            self._context, point_id, disk, target, options or RestoreOptions(), listener, cancel
        )

    def require_restorable(self, point_id: str) -> None:
        """Raises DataLoss naming what is lost when any disk of the point is known not to be restorable."""
        point = self.get_point(point_id)
        for disk in point.disks:
            require_readable(self._context, point_id, disk, self._context.disk_map(disk))

    def read_disk(self, point_id: str, disk_id: str, offset: int, length: int) -> bytes:
        """Bytes of a disk; raises InvalidInput when the range is not on it."""
        _, disk = self._disk(point_id, disk_id)
        return read_range(self._context, disk, offset, length)

    def read_stream(self, point_id: str, name: str) -> Iterator[bytes]:
        """The bytes stored with the point under ``name``, in order."""
        point = self.get_point(point_id)
        ref: StreamRef | None = point.streams.get(name)
        if ref is None:
            raise NotFound(
                f"Restore point {point_id} has no stream {name!r}.",
                reason="STREAM_MISSING",
                hint=f"It has: {', '.join(sorted(point.streams)) or 'none'}.",
            )
        return read_stream(self._context.reader, ref)

    def verify(
        self,
        *,
        full: bool,
        workers: int = 2,
        listener: Callable[[int, int], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Verification:
        """Check every object (``full``: decode every blob) and every point; damaged packs are quarantined."""
        return verify(
            self._context, self.list_points(), full=full, workers=workers, listener=listener, cancel=cancel
        )

    def rebuild_index(self) -> int:
        """Make the repository's index again from its packs alone; how many packs there are."""
        self._prepare_writing()
        return rebuild_index(self._context)

    def damaged_packs(self) -> int:
        """How many packs are known to be damaged."""
        return sum(1 for _ in recorded_damage(self._context.store))

    def statistics(self) -> Statistics:
        packs, pack_bytes, blobs = self._context.index.totals()
        return Statistics(len(self.list_points()), packs, pack_bytes, blobs, self._context.store.free_bytes())

    def start_epoch(self) -> int:
        """Seal new packs with a fresh data key from the next backup on; its epoch."""
        self._prepare_writing()
        highest = learn_epochs(self._context)
        return start_epoch(self._context, highest.epoch if highest else 0).epoch

    def list_slots(self) -> list[tuple[str, str, str]]:
        """Id, kind and label of every key slot."""
        slots = read_slots(self._context.store, self._context.on_notice)
        return [(slot.slot_id, slot.kind, slot.label) for slot in slots]

    def add_passphrase(
        self, slot_id: str, passphrase: str, label: str = "", cost: Argon2Cost | None = None
    ) -> None:
        """Let another passphrase open the repository; raises AlreadyExists when the slot id is taken."""
        self._add_slot(slot_id, PASSPHRASE, label, checked_passphrase(passphrase), cost or Argon2Cost())

    def add_recovery_key(self, slot_id: str, label: str = "") -> str:
        """Another recovery key, which is kept nowhere."""
        secret = self._context.entropy(SECRET_BYTES)
        self._add_slot(slot_id, RECOVERY, label, secret, Argon2Cost())
        return print_recovery_key(secret)

    def remove_slot(self, slot_id: str) -> None:
        """Make a passphrase or recovery key useless; raises FailedPrecondition when too few would be left."""
        slots = [slot for slot, _, _ in self.list_slots()]
        if slot_id not in slots:
            raise NotFound(
                f"There is no key slot {slot_id}.",
                reason="SLOT_MISSING",
                hint=f"There are: {', '.join(slots)}.",
            )
        if len(slots) <= _LEAST_SLOTS:
            raise FailedPrecondition(
                f"The repository has only {len(slots)} keys; {_LEAST_SLOTS} must be left.",
                reason="TOO_FEW_KEYS",
                hint="Add another key first.",
            )
        self._prepare_writing()
        self._context.store.delete(slot_name(slot_id))

    def _add_slot(self, slot_id: str, kind: str, label: str, secret: str | bytes, cost: Argon2Cost) -> None:
        context = self._context
        self._prepare_writing()
        slot = make_slot(
            slot_id=slot_id,
            kind=kind,
            label=label,
            created_time=context.now(),
            generation=GENERATION,
            root=context.keys.root,
            header_json=context.header.to_json(context.keys.root),
            secret=secret,
            cost=cost,
            salt=context.entropy(16),
            nonce=context.entropy(12),
        )
        context.store.put(slot_name(slot_id), [slot])
        written = next(
            (s for s in read_slots(context.store, context.on_notice) if s.slot_id == slot_id), None
        )
        opened = written.open(secret) if written is not None else None
        if opened is None or not same(opened, context.keys.root):
            raise DataLoss(
                f"The new key slot {slot_id} does not open.",
                reason="SLOT_NOT_PROVEN",
                hint="Remove it and test this machine's memory.",
            )

    def _prepare_writing(self) -> None:
        """Refuse what this release must not write to; sweep once, since a sweep walks the whole store."""
        require_writable(self._context.store, self._context.header)
        if not self._swept:
            self._context.store.sweep()
            self._swept = True

    def _base(self, base_point: str) -> RestorePoint:
        try:
            return self.get_point(base_point)
        except (NotFound, DataLoss) as error:
            raise FailedPrecondition(
                f"Point {base_point} cannot be the base of an incremental: {error.message}",
                reason="BASE_POINT_UNUSABLE",
                hint="Take a full backup.",
                metadata={"point": base_point},
            ) from error

    def _disk(self, point_id: str, disk_id: str) -> tuple[RestorePoint, Disk]:
        point = self.get_point(point_id)
        disk = point.disk(disk_id)
        if disk is None:
            raise InvalidInput(
                f"Restore point {point_id} has no disk {disk_id}.",
                reason="DISK_MISSING",
                hint=f"It has: {', '.join(d.disk_id for d in point.disks) or 'none'}.",
            )
        return point, disk

    def _take_segments(self, names: object) -> None:
        """Index segments a late listing may not show; a missing one is found out when its blobs are read."""
        for name in names if isinstance(names, list) else ():
            try:
                self._context.take_segment(bytes.fromhex(str(name)))
            except (NotFound, DataLoss, ValueError) as error:
                self._context.on_notice(
                    "INDEX_SEGMENT_UNREADABLE", f"index/{name}: {error} Rebuild the index."
                )

    def _exists(self, name: str) -> bool:
        try:
            self._context.store.size(name)
        except NotFound:
            return False
        return True
