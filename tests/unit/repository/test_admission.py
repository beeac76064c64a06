"""What comes into a copy without a key is an object of its repository, whole, under its own name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss
from services.mover.repository import MemoryStore
from services.mover.repository.copying.admission import require_whole
from services.mover.repository.format.lease import encode_revocation
from services.mover.repository.format.names import parse_pack_name
from tests.unit.repository.world import MIB, back_up, new_repository, noise


class Site:
    """A repository, and what is sent of it."""

    def __init__(self, folder: Path) -> None:
        store = MemoryStore()
        with new_repository(store, folder) as repository:
            back_up(repository, "a", noise(MIB))
            self.id = repository._context.keys.repository_id
            self.revocation = encode_revocation(bytes(32), self.id, "points/b")
        self.objects = {
            name: data for name, data in store.objects.items() if not name.startswith(("reserve/", "leases/"))
        }

    def one(self, prefix: str) -> str:
        return min(name for name in self.objects if name.startswith(prefix))

    def take(self, name: str, data: bytes) -> None:
        require_whole(name, data, hashlib.sha256(data).digest(), self.id)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def _pack_under_another_name(site: Site) -> tuple[str, bytes]:
    name = site.one("packs/data/")
    return f"packs/data/00/{'00' * 32}", site.objects[name]


def _pack_of_another_kind(site: Site) -> tuple[str, bytes]:
    name = site.one("packs/data/")
    return name.replace("/data/", "/meta/"), site.objects[name]


def _segment_under_another_name(site: Site) -> tuple[str, bytes]:
    return f"index/{'00' * 32}", site.objects[site.one("index/")]


def _revocation_as_a_point(site: Site) -> tuple[str, bytes]:
    return "points/b", site.revocation


def _point_as_a_segment(site: Site) -> tuple[str, bytes]:
    data = site.objects["points/a"]
    return f"index/{hashlib.sha256(data).hexdigest()}", data


def _no_epoch(_: Site) -> tuple[str, bytes]:
    return "epochs/00000009", b"no epoch"


def _slot_of_another_name(site: Site) -> tuple[str, bytes]:
    return "keys/other", site.objects[site.one("keys/")]


def test_what_a_repository_holds_is_taken(site: Site) -> None:
    assert len(site.objects) > 6
    for name, data in site.objects.items():
        site.take(name, data)
    assert {"data", "meta"} == {pack[0] for name in site.objects if (pack := parse_pack_name(name))}


@pytest.mark.parametrize(
    "made",
    [
        _pack_under_another_name,
        _pack_of_another_kind,
        _segment_under_another_name,
        _revocation_as_a_point,
        _point_as_a_segment,
        _no_epoch,
        _slot_of_another_name,
    ],
)
def test_what_is_something_else_is_refused_by_its_name(
    site: Site, made: Callable[[Site], tuple[str, bytes]]
) -> None:
    name, data = made(site)
    with pytest.raises(DataLoss, match=name):
        site.take(name, data)
