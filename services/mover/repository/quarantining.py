"""What becomes of packs that a verification finds gone, damaged, or whole after all."""

from collections.abc import Callable

from services.chassis.errors import DataLoss, FailedPrecondition, NotFound, PermissionDenied
from services.mover.repository.context import Context, info_of
from services.mover.repository.damage import forget_damage, recorded_damage
from services.mover.repository.features import require_writable
from services.mover.repository.format.damaged import damaged
from services.mover.repository.index import PackInfo
from services.mover.repository.indexing import records_of, sync_index
from services.mover.repository.packlisting import PackListing
from services.mover.repository.plans import listed_plans
from services.mover.repository.points import exists
from services.mover.repository.store import StoredObject
from services.mover.repository.uncovering import brought_back
from services.mover.repository.verification import Tally

PACKS_NOT_LISTED = "PACKS_NOT_LISTED"


def look_for_gone(
    context: Context, tally: Tally, seen: PackListing, check: Callable[[StoredObject], None]
) -> None:
    """What is gone is damage, unless it was pruned or removed in the meantime, as its name is then too.

    What is only hidden is uncovered, and given to ``check``.
    """
    sync_index(context)
    plans = listed_plans(context)
    for batch in context.index.pack_batches():
        there = seen.sizes([indexed.pack.sha256 for indexed in batch])
        for pack in (indexed.pack for indexed in batch):
            if pack.sha256 in there or plans.hides(pack.sha256) or exists(context, pack.name):
                continue
            if problem := brought_back(context, pack.name, tally.notices):
                if not _made_up(context, pack):
                    tally.problems[pack.name] = problem
            else:
                back = StoredObject(pack.name, context.store.size(pack.name))
                seen.note([(pack.sha256, pack.kind, back.size)])
                check(back)
    for name in list(tally.problems):
        info = info_of(name)
        expected = (
            info is not None and context.index.known_packs([info.sha256]) and not plans.hides(info.sha256)
        )
        if not expected and not exists(context, name):
            del tally.problems[name]


def _made_up(context: Context, pack: PackInfo) -> bool:
    """Whether no segment lists it, and the local index, which is right now, was alone with it."""
    wrong = context.reader.index_was_wrong(damaged(pack.name, "it is gone"))
    return wrong and not context.index.known_packs([pack.sha256])


def quarantine(context: Context, tally: Tally) -> None:
    """Record damaged packs, and find out which of their blobs are really lost."""
    packs = {name: pack for name in tally.problems if (pack := info_of(name)) is not None}
    for name, pack in packs.items():
        context.report_if_writable(pack, tally.problems[name])
    for record in records_of(context, {pack.sha256: pack.kind for pack in packs.values()}):
        for id_ in {entry.id for entry in record.entries}:
            for location in context.index.find([id_]).get(id_, ()):
                if location.pack.sha256 == record.sha256:
                    try:
                        context.reader.read_copy(location)
                    except DataLoss:
                        tally.lost.add((record.sha256, id_))


def release(context: Context, tally: Tally, was_read: Callable[[bytes], bool]) -> None:
    """Forget damage records of packs that were read, and whose bytes are what their names say after all."""
    damaged_packs = {info.sha256 for name in tally.problems if (info := info_of(name))}
    for sha256 in list(recorded_damage(context.store)):
        if sha256 in damaged_packs or not was_read(sha256):
            continue
        try:
            require_writable(context.store, context.header)
            forget_damage(context.store, sha256)
        except (NotFound, PermissionDenied, FailedPrecondition) as error:
            context.on_notice("DAMAGE_RECORD_KEPT", f"{error.message} The pack {sha256.hex()} is whole.")
    context.index.mark_damaged(recorded_damage(context.store))


def look_for_strangers(context: Context, tally: Tally, seen: PackListing) -> None:
    """When points lack something it may be in packs that no segment lists."""
    strangers = 0
    for batch in seen.batches():
        strangers += len(batch) - len(context.index.known_packs([pack.sha256 for pack in batch]))
    if strangers:
        text = f"{strangers} packs are in no index segment. If segments are lost, and these packs are of no"
        text += " backup under way, points are whole again after `xenkeep repo rebuild`."
        tally.notices.append((PACKS_NOT_LISTED, text))
