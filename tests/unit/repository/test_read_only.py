"""A repository where nothing may be written is verified like any other; what is found is told."""

from pathlib import Path

import pytest

from services.chassis.errors import PermissionDenied
from services.mover.repository import MemoryStore
from tests.unit.repository.world import MIB, back_up, new_repository, noise, reopen, restored


class ReadOnly(MemoryStore):
    """As a file system mounted so."""

    def put(self, name: str, parts: object) -> None:
        raise PermissionDenied(f"{name} cannot be written.", reason="STORE_REFUSED")

    def delete(self, name: str) -> None:
        raise PermissionDenied(f"{name} cannot be removed.", reason="STORE_REFUSED")


@pytest.mark.scenario(6)
def test_damage_on_read_only_media_is_found_and_told(tmp_path: Path) -> None:
    store, frozen = MemoryStore(), ReadOnly()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", noise(MIB))
        back_up(repository, "q", noise(MIB, 1))
    lost = min(name for name in store.objects if name.startswith("packs/data/"))
    frozen.objects = store.objects | {lost: bytes(len(store.objects[lost]))}
    before = dict(frozen.objects)
    with reopen(frozen, tmp_path / "b") as repository:
        found = repository.verify(full=True)
        assert ([lost], 1) == ([finding.object for finding in found.findings], len(found.damaged_points))
        assert ["DAMAGE_NOT_RECORDED"] == [code for code, _ in repository.notices]
        (sound,) = found.sound_points
        assert noise(MIB, "pq".index(sound)) == restored(repository, sound)
    assert before == frozen.objects
