"""Everything that is done to a repository and writes: what it begins with, and how to see that it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.chassis.clock import FakeClock
from services.chassis.errors import XenkeepError
from services.mover.repository import (
    MemoryStore,
    Repository,
    Store,
    create_repository,
    repair_header,
)
from services.mover.repository.damage import DamagedPack, record_damage
from services.mover.repository.format.names import HEADER, INDEX, TRASH, pack_name, parse_pack_name
from services.mover.repository.indexrewriting import compact_index
from tests.faults.repository.prunes import NOW
from tests.unit.repository.world import (
    BLOCK,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

GONE: Final = noise(6 * BLOCK, 3)
BASE: Final = GONE[: 2 * BLOCK] + noise(8 * BLOCK)
NEXT: Final = overwritten(BASE, {0: noise(BLOCK, 1), 5 * BLOCK: noise(BLOCK, 2)})
CONTENTS: Final = {"base": BASE, "next": NEXT}
_CHANGED: Final = [(0, BLOCK), (5 * BLOCK, BLOCK)]
_OTHER: Final = "another passphrase"
_MEMORY: Final = [noise(3 * BLOCK, 4)]
Objects = dict[str, bytes]


def scene(folder: Path) -> Objects:
    """Points ``base`` and ``next``; ``gone`` in the trash, of whose pack they need a third; three keys."""
    store = MemoryStore()
    with new_repository(store, folder, 2 * BLOCK, 8 * BLOCK) as repository:
        back_up(repository, "gone", GONE)
        back_up(repository, "base", BASE)
        back_up(repository, "next", NEXT, base="base", changed=_CHANGED)
        repository.delete_point("gone")
        repository.keys.add_passphrase("spare", "a spare passphrase", cost=QUICK)
    return store.objects


@dataclass(frozen=True, slots=True)
class Verb:
    """``act`` does it at a place, with room for a cache; ``done`` is whether it is.

    ``needs`` makes of the scene what it begins with. ``already`` are reasons by which it says, when it is
    repeated, that there is nothing left to do. ``kept`` are points that have to be there in the end, and
    ``findings`` is how many damaged objects are.
    """

    act: Callable[[Store, Path], object]
    done: Callable[[Repository], bool]
    needs: Callable[[Objects], Objects] = dict
    already: frozenset[str] = frozenset()
    kept: tuple[str, ...] = ("base", "next")
    findings: int = 0

    def repeat(self, store: Store, cache: Path) -> bool:
        """Do it, or be told that it is done; whether it was done now."""
        try:
            self.act(store, cache)
        except XenkeepError as error:
            assert error.reason in self.already
            return False
        return True

    def require_done(self, store: Store, cache: Path) -> None:
        """And nothing lost, and the next backup works."""
        with reopen(store, cache) as repository:
            assert self.done(repository)
            for point in self.kept:
                assert restored(repository, point) == CONTENTS[point]
            findings = repository.verify(full=True).findings
            assert len(findings) == self.findings, findings
            back_up(repository, "later", NEXT)
            assert restored(repository, "later") == NEXT


def _opened(act: Callable[[Repository], object]) -> Callable[[Store, Path], None]:
    def opened(store: Store, cache: Path) -> None:
        with reopen(store, cache) as repository:
            act(repository)

    return opened


def _create(store: Store, cache: Path) -> None:
    create_repository(store, PASSPHRASE, cache, cost=QUICK, time=FakeClock())[0].close()


def _back_up_a_stream(repository: Repository) -> None:
    with repository.begin_backup("new", transfer_id="t", options=OPTIONS) as session:
        session.stream("memory", _MEMORY, "memory")
        add_disk(session, GONE + NEXT)
        session.commit(description())


def _has_new(repository: Repository) -> bool:
    memory = b"".join(repository.read_stream("new", "memory"))
    return memory == _MEMORY[0] and restored(repository, "new") == GONE + NEXT


def _copy_from(source: Objects) -> Callable[[Store, Path], None]:
    def copy(store: Store, cache: Path) -> None:
        here = MemoryStore("memory:here")
        here.objects = dict(source)
        with reopen(here, cache.with_name(f"{cache.name}-here")) as repository:
            assert not repository.copy_to(store, cache.with_name(f"{cache.name}-copy")).left_points

    return copy


def _repair_header(store: Store, _cache: Path) -> None:
    repair_header(store, PASSPHRASE, lambda _code, _message: None)


def _without(prefix: str) -> Callable[[Objects], Objects]:
    def needs(objects: Objects) -> Objects:
        return {name: data for name, data in objects.items() if not name.startswith(prefix)}

    return needs


def _with_harm(objects: Objects) -> Objects:
    """A harmed pack that no point needs."""
    store = MemoryStore()
    store.objects = dict(objects)
    store.objects[pack_name("data", bytes(32))] = b"nothing"
    return store.objects


def _with_false_alarm(objects: Objects) -> Objects:
    store = MemoryStore()
    store.objects = dict(objects)
    pack = next(filter(None, map(parse_pack_name, objects)))
    record_damage(store, DamagedPack(pack[1], pack[0], "it was said to be", "2026-01-01T00:00:00Z"))
    return store.objects


def _with_broken_header(objects: Objects) -> Objects:
    return objects | {HEADER: objects[HEADER].replace(b'"chunk_bytes":', b'"chunk_bytes":1', 1)}


def verbs(before: Objects) -> dict[str, Verb]:
    """By name; ``before`` is the scene."""
    return {
        "backup of a disk and a stream": Verb(
            _opened(_back_up_a_stream), _has_new, already=frozenset({"POINT_EXISTS"})
        ),
        "copy": Verb(
            _copy_from(before), lambda r: r.list_points() == ["base", "next"], needs=lambda _objects: {}
        ),
        "creation": Verb(
            _create,
            lambda r: r.list_points() == [],
            needs=lambda _objects: {},
            already=frozenset({"REPOSITORY_EXISTS"}),
            kept=(),
        ),
        "damage that is found": Verb(
            _opened(lambda r: r.verify(full=True)),
            lambda r: r.damaged_packs() == 1,
            needs=_with_harm,
            findings=1,
        ),
        "damage that is none": Verb(
            _opened(lambda r: r.verify(full=True)),
            lambda r: not r.verify(full=True).findings and r.damaged_packs() == 0,
            needs=_with_false_alarm,
        ),
        "data key": Verb(
            _opened(lambda r: r.keys.start_epoch()),
            lambda r: [each.epoch for each in r.keys.epochs() if each.current] != [1],
        ),
        "deletion": Verb(
            _opened(lambda r: r.delete_point("next", keep=0, purge=True)),
            lambda r: "next" not in r.list_points(),
            already=frozenset({"POINT_MISSING"}),
            kept=("base",),
        ),
        "header repaired": Verb(
            _repair_header,
            lambda r: len(r.list_points()) == 2,
            needs=_with_broken_header,
            already=frozenset({"HEADER_IN_ORDER"}),
        ),
        "index compacted": Verb(
            _opened(lambda r: compact_index(r._context, more_than=0)),
            lambda r: sum(1 for _ in r._context.store.list(INDEX)) >= 1,
        ),
        "index rebuilt": Verb(
            _opened(lambda r: r.rebuild_index()), lambda r: r.statistics().packs > 0, needs=_without(INDEX)
        ),
        "key": Verb(
            _opened(lambda r: r.keys.add_passphrase("other", _OTHER, cost=QUICK)),
            lambda r: r.keys.slot_of(_OTHER) == "other",
            already=frozenset({"OBJECT_EXISTS"}),
        ),
        "key removed": Verb(
            _opened(lambda r: r.keys.remove_slot("spare")),
            lambda r: "spare" not in [slot for slot, _, _ in r.keys.list_slots()],
            already=frozenset({"SLOT_MISSING"}),
        ),
        "prune": Verb(_opened(lambda r: r.prune(NOW)), lambda r: not r.list_trash()),
        "point taken back": Verb(
            _opened(lambda r: r.undelete_point("gone")),
            lambda r: restored(r, "gone") == GONE and not any(r._context.store.list(TRASH)),
            already=frozenset({"POINT_NOT_IN_TRASH"}),
        ),
    }
