"""A repository in the hands of somebody without a key: what it tells, and what can be done to it."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, Unauthenticated
from services.mover.repository import (
    DirectoryStore,
    DiskRequest,
    MemoryStore,
    PointDescription,
    create_repository,
)
from services.mover.repository.keys import KeyRing
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    MemoryDisk,
    back_up,
    description,
    new_repository,
    noise,
    reopen,
    restored,
)

SENTENCE = b"The merger with Initech is to be announced in March. "
TOLD_TO_NOBODY = {
    "the VM": "payroll-db-01",
    "its pool": "Frankfurt basement",
    "its host": "xen07.example.org",
    "the disk": "disk with salaries",
    "the tracking ref": "9e5b1d5c-cbt-reference",
    "the policy": "nightly of the board",
    "the configuration": "VCPUs-at-startup-of-payroll",
    "the stream's name": "host-of-the-payroll.tar",
}


def _secretive() -> PointDescription:
    asset = {key: TOLD_TO_NOBODY[what] for key, what in (("name", "the VM"), ("pool", "its pool"))}
    return description(
        asset=asset | {"host": TOLD_TO_NOBODY["its host"]}, document={"policy": TOLD_TO_NOBODY["the policy"]}
    )


def test_no_byte_of_a_repository_tells_a_name_a_content_or_a_key(tmp_path: Path) -> None:
    """Every file and every file's name, of a repository with disks, streams, trash and a second key."""
    place = tmp_path / "repository"
    store = DirectoryStore(place, create=True)
    repository, recovery_key = create_repository(store, PASSPHRASE, tmp_path / "cache", cost=QUICK)
    content = (SENTENCE * (MIB // len(SENTENCE) + 1))[:MIB]
    disk = DiskRequest(
        "d", MIB, label=TOLD_TO_NOBODY["the disk"], tracking_ref=TOLD_TO_NOBODY["the tracking ref"]
    )
    with repository:
        keys = repository._context.keys
        for number in range(2):
            with repository.begin_backup(f"p{number}", options=OPTIONS) as session:
                session.disk(disk, MemoryDisk(content))
                session.stream(TOLD_TO_NOBODY["the stream's name"], [noise(8 * KIB, number) + SENTENCE * 99])
                session.stream("vm-configuration", [TOLD_TO_NOBODY["the configuration"].encode() + SENTENCE])
                session.commit(_secretive())
        repository.delete_point("p1", keep=1)
        repository.keys.add_passphrase("second", "another passphrase", cost=QUICK)
        data_key = keys.data_key(1)
        assert data_key
        hidden = {what: text.encode() for what, text in TOLD_TO_NOBODY.items()}
        hidden |= {"the content": SENTENCE[:16], "the root key": keys.root, "the data key": data_key}
        hidden |= {"a passphrase": PASSPHRASE.encode(), "the other": b"another passphrase"}
        hidden |= {
            "the recovery key": recovery_key.encode(),
            "without dashes": recovery_key.replace("-", "").encode(),
        }
    files = [path for path in place.rglob("*") if path.is_file()]
    everything = {str(path.relative_to(place)): path.read_bytes() for path in files}

    assert len(everything) > 10
    assert [] == [
        (what, name)
        for name, data in everything.items()
        for what, secret in hidden.items()
        for form in (secret, secret.hex().encode())
        if form in data or form in name.encode()
    ]


def test_equal_contents_do_not_show_in_two_repositories(tmp_path: Path) -> None:
    """Nor does a pack's name, a blob or a point of one help to find what it holds in the other."""
    stores = [MemoryStore(), MemoryStore()]
    for number, store in enumerate(stores):
        with new_repository(store, tmp_path / str(number)) as repository:
            back_up(repository, "p", noise(MIB))
    one, other = (
        {
            data[at : at + 32]
            for name, data in store.objects.items()
            if name.startswith(("packs/", "index/", "points/"))
            for at in range(256, len(data) - 96, 32)
        }
        for store in stores
    )

    assert one.isdisjoint(other)
    assert {n for n in stores[0].objects if n.startswith("packs/")}.isdisjoint(stores[1].objects)


def test_no_key_that_names_cuts_or_revokes_is_shared_by_two_repositories() -> None:
    """Whoever has one of them from here can look for nothing there: neither by another root key, nor by the
    same in a repository of another id."""
    here, other_root, other_id = (
        KeyRing(bytes([root]) * 32, bytes([number]) * 16) for root, number in ((1, 1), (2, 1), (1, 2))
    )
    for there in (other_root, other_id):
        keys = [
            key
            for ring in (here, there)
            for key in (*ring.id_keys.values(), ring.cut_key, ring.revocation_key)
        ]
        assert len(keys) == len(set(keys))


def test_content_that_was_stored_before_shows_by_how_little_is_written(tmp_path: Path) -> None:
    """The side channel of deduplication, and that of sizes: no more is claimed than there is."""
    store = MemoryStore()
    grown = []
    with new_repository(store, tmp_path, 2 * BLOCK, 512 * KIB) as repository:
        for point, content in (("a", noise(MIB)), ("again", noise(MIB)), ("new", noise(MIB, 1))):
            before = sum(map(len, store.objects.values()))
            back_up(repository, point, content)
            grown.append(sum(map(len, store.objects.values())) - before)

    first, again, new = grown
    assert again < first / 20
    assert new > MIB
    assert {"points/a", "points/again", "points/new"} < set(store.objects)


def test_key_slots_tell_when_they_were_made_and_their_labels(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        repository.keys.add_passphrase("second", "another passphrase", "for Ute", cost=QUICK)
    slot = json.loads(store.objects["keys/second"])

    assert ("for Ute", "passphrase") == (slot["label"], slot["kind"])
    assert slot["created_time"]


def test_a_removed_passphrase_still_opens_with_a_copy_of_its_slot(tmp_path: Path) -> None:
    """Whoever kept a copy of the repository and a passphrase of then keeps what both give."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", noise(MIB))
        repository.keys.add_passphrase("second", "another passphrase", cost=QUICK)
        copied = store.objects["keys/passphrase-1"]
        repository.keys.remove_slot("passphrase-1")
        back_up(repository, "after", noise(MIB, 1))
    with pytest.raises(Unauthenticated):
        reopen(store, tmp_path / "b")
    store.objects["keys/passphrase-1"] = copied

    with reopen(store, tmp_path / "c") as repository:
        assert restored(repository, "after") == noise(MIB, 1)


def _hashed(sealed: bytes) -> bytes:
    """With the SHA-256 at its end, which anybody can make."""
    return sealed + hashlib.sha256(sealed).digest()


@pytest.mark.parametrize(
    "forge",
    [
        lambda dice, genuine: dice.randbytes(len(genuine)),
        lambda dice, genuine: _hashed(genuine[:-48] + dice.randbytes(16)),
        lambda dice, genuine: b"XKREVOK1" + dice.randbytes(56),
        lambda dice, genuine: b"",
    ],
)
def test_a_point_made_without_a_key_is_refused(
    tmp_path: Path, forge: Callable[[random.Random, bytes], bytes]
) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", noise(MIB))
    store.objects["points/forged"] = forge(random.Random(1), store.objects["points/p"])
    with reopen(store, tmp_path / "b") as repository:
        with pytest.raises(DataLoss, match="points/forged"):
            repository.get_point("forged")
        assert restored(repository, "p") == noise(MIB)
