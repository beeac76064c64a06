"""Repositories and restore points, as movers and the catalog tell of them."""

from xenkeep.catalog.v1 import events_pb2 as catalog
from xenkeep.mover.v1 import events_pb2 as mover

from services.notifier.domain.amounts import count
from services.notifier.domain.notification import Severity, Story

MOST_OBJECTS = 20
DAMAGE_ADVICE = (
    "Back the VMs up again in full now, keep the repository as it is, and check the storage under it. "
    "Points that are not named can still be restored."
)


def damage_found(event: mover.DamageFound) -> Story:
    points = {point for damage in event.damages for point in damage.point_ids}
    objects = tuple((damage.object, damage.message) for damage in event.damages[:MOST_OBJECTS])
    left = len(event.damages) - len(objects)
    return Story(
        severity=Severity.ERROR,
        incident=event.repository,
        about=event.repository_display_name or event.repository,
        headline=f"damage found: {count(len(event.damages), 'object')}, "
        f"{count(len(points), 'restore point')} not restorable completely",
        advice=DAMAGE_ADVICE,
        details=(*objects, *((("And", count(left, "more object")),) if left else ())),
    )


def repository_verified(event: mover.RepositoryVerified) -> Story:
    sound, damaged = len(event.sound_point_ids), len(event.damaged_point_ids)
    depth = "every chunk decoded" if event.full else "every object compared with its name"
    headline = f"verified, {depth}: {count(sound, 'restore point')} whole"
    if event.HasField("sample"):
        read = f"{event.sample.checked_pack_count} of {count(event.sample.pack_count, 'pack')}"
        headline = f"verified by sample, {depth} in {read}"
    return Story(
        severity=Severity.ERROR if damaged else Severity.INFO,
        incident=event.repository,
        about=event.repository_display_name or event.repository,
        headline=f"{headline}, {damaged} damaged" if damaged else headline,
        advice=DAMAGE_ADVICE if damaged else "",
        details=tuple(("Damaged", point) for point in event.damaged_point_ids[:MOST_OBJECTS]),
    )


def restore_point_damaged(event: catalog.RestorePointDamaged) -> Story:
    point = event.restore_point
    asset = point.point.asset
    return Story(
        severity=Severity.ERROR,
        incident=f"repositories/{point.point.repository_id}",
        about=asset.display_name or asset.asset_id,
        headline=f"a restore point cannot be restored completely: {point.state_message or 'damaged'}",
        advice=DAMAGE_ADVICE,
        details=(
            ("Restore point", point.name),
            ("Taken", f"{point.point.snapshot_time.ToJsonString()}"),
            ("Repository", point.repository_display_name or point.point.repository_id),
        ),
    )
