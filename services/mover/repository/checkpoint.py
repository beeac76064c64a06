"""Checkpoints of unfinished backups (docs/repository-format.md, section 11)."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.chassis.errors import Aborted, AlreadyExists, DataLoss, InvalidInput, NotFound, PermissionDenied
from services.mover.repository.context import Context, Listener
from services.mover.repository.format import canonical
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import (
    CHECKPOINTS,
    checked_id,
    checkpoint_prefix,
    lease_prefix,
    parse_pack_name,
    point_name,
)
from services.mover.repository.mapwriter import MapProgress, decode_entries, encode_entries
from services.mover.repository.points import exists


@dataclass(frozen=True, slots=True)
class DiskCheckpoint:
    """How far a disk is; ``fingerprint`` says what was asked."""

    disk_id: str
    fingerprint: str
    progress: MapProgress
    read_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything durable of a transfer. ``unindexed`` are names of packs that no index segment lists yet."""

    transfer_id: str
    point_id: str
    base_point: str | None
    unindexed: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    disks: dict[str, DiskCheckpoint] = field(default_factory=dict)
    stored_bytes: int = 0
    saved_time: str = ""
    """RFC 3339; empty in those of earlier releases."""


class CheckpointLog:
    """The checkpoints of one transfer. Whoever writes the next number owns the transfer."""

    def __init__(self, context: Context, transfer_id: str, on_notice: Listener) -> None:
        self._store = context.store
        self._objects = context.objects
        self._prefix = checkpoint_prefix(transfer_id)
        self._chunk_bytes = context.chunk_bytes
        self._notice = on_notice
        self._next = 1

    def load(self) -> Checkpoint | None:
        """The newest readable checkpoint; a damaged one is reported and an older one used."""
        numbers = sorted(self._numbers(), reverse=True)
        self._next = numbers[0] + 1 if numbers else 1
        for number in numbers:
            name = self._name(number)
            try:
                return _decode(self._objects.get("checkpoint", name)[1], self._chunk_bytes, name)
            except (DataLoss, NotFound) as error:
                self._notice(
                    "CHECKPOINT_UNREADABLE", f"{error.message} An older one is used, if there is one."
                )
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Write the next one and remove the one before; raises Aborted when another mover took over."""
        name = self._name(self._next)
        body = canonical.encode(_encode(checkpoint, self._next))
        try:
            self._objects.put("checkpoint", name, {}, body)
        except AlreadyExists:
            raise Aborted(
                f"Transfer {checkpoint.transfer_id} was taken over by another mover.",
                reason="TRANSFER_TAKEN_OVER",
                hint="Nothing to do: the other mover goes on from the last checkpoint.",
            ) from None
        self._next += 1
        self._remove(lambda number: number < self._next - 1)

    def remove(self) -> None:
        """Forget the transfer."""
        self._remove(lambda _: True)

    def _remove(self, condition: Callable[[int], bool]) -> None:
        for number in [number for number in self._numbers() if condition(number)]:
            try:
                self._store.delete(self._name(number))
            except NotFound:
                continue
            except PermissionDenied as error:
                self._notice("CHECKPOINT_KEPT", f"{error.message} A forgotten checkpoint is harmless.")
                return

    def _numbers(self) -> list[int]:
        tails = [stored.name.removeprefix(self._prefix) for stored in self._store.list(self._prefix)]
        return [int(tail) for tail in tails if tail.isdecimal() and len(tail) == 8]

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number:08d}"


def remove_checkpoints(context: Context, transfer_id: str) -> None:
    """Forget a transfer whose point is committed."""
    CheckpointLog(context, transfer_id, context.on_notice).remove()


def unfinished(context: Context) -> Iterator[Checkpoint]:
    """The newest readable checkpoint of each transfer that has any."""
    found = {
        stored.name.removeprefix(CHECKPOINTS).partition("/")[0] for stored in context.store.list(CHECKPOINTS)
    }
    for transfer_id in sorted(found):
        checkpoint = CheckpointLog(context, transfer_id, context.on_notice).load()
        if checkpoint is not None:
            yield checkpoint


def forget_unfinished(context: Context, older_than: datetime) -> None:
    """Remove checkpoints nobody goes on from: of points that exist or are revoked, old ones with no lease."""
    for checkpoint in list(unfinished(context)):
        log = CheckpointLog(context, checkpoint.transfer_id, context.on_notice)
        if exists(context, point_name(checkpoint.point_id)):
            log.remove()
            continue
        old = checkpoint.saved_time and datetime.fromisoformat(checkpoint.saved_time) <= older_than
        if old and not any(True for _ in context.store.list(lease_prefix(checkpoint.point_id))):
            log.remove()


def _encode(checkpoint: Checkpoint, sequence: int) -> dict[str, Any]:
    return {
        "base_point": checkpoint.base_point,
        "disks": [_encode_disk(disk) for disk in checkpoint.disks.values()],
        "point": checkpoint.point_id,
        "segments": list(checkpoint.segments),
        "saved_time": checkpoint.saved_time,
        "sequence": sequence,
        "stored_bytes": checkpoint.stored_bytes,
        "transfer": checkpoint.transfer_id,
        "unindexed": list(checkpoint.unindexed),
    }


def _encode_disk(disk: DiskCheckpoint) -> dict[str, Any]:
    pages = sorted(disk.progress.pages.items())
    return {
        "disk": disk.disk_id,
        "entries": base64.b64encode(encode_entries(disk.progress.entries)).decode(),
        "fingerprint": disk.fingerprint,
        "pages": {str(position): id_.hex() if id_ is not None else None for position, id_ in pages},
        "read_bytes": disk.read_bytes,
    }


def _decode(data: bytes, chunk_bytes: int, what: str) -> Checkpoint:
    fields = canonical.Fields(canonical.decode_object(data, what), what)
    disks = [_decode_disk(disk, chunk_bytes, what) for disk in fields.inners("disks")]
    unindexed = tuple(fields.texts("unindexed"))
    if any(parse_pack_name(name) is None for name in unindexed):
        raise damaged(what, "it names something that is no pack")
    saved_time = fields.optional_text("saved_time") or ""
    try:
        aware = not saved_time or datetime.fromisoformat(saved_time).tzinfo is not None
        transfer_id = checked_id(fields.text("transfer"), "transfer id")
        point_id = checked_id(fields.text("point"), "point id")
    except (ValueError, InvalidInput):
        aware = False
    if not aware:
        raise damaged(what, "a name or time in it is none")
    return Checkpoint(
        transfer_id,
        point_id,
        fields.optional_text("base_point"),
        unindexed,
        tuple(fields.texts("segments")),
        {disk.disk_id: disk for disk in disks},
        fields.number("stored_bytes"),
        saved_time,
    )


def _decode_disk(fields: canonical.Fields, chunk_bytes: int, what: str) -> DiskCheckpoint:
    pages = fields.inner("pages")
    try:
        positions = {_position(text): pages.optional_raw(text, 32) for text in fields.mapping("pages")}
        entries = base64.b64decode(fields.text("entries"), validate=True)
    except ValueError:
        raise damaged(what, "a disk in it is garbled") from None
    return DiskCheckpoint(
        fields.text("disk"),
        fields.text("fingerprint"),
        MapProgress(positions, decode_entries(entries, chunk_bytes, what)),
        fields.number("read_bytes"),
    )


def _position(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(text)
    return int(text)
