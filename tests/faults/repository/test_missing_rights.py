"""Credentials that lack one right: what needs it says which and changes nothing, and all else works."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.chassis.errors import PermissionDenied
from services.mover.repository import Repository
from services.mover.repository.stores.s3 import S3Store
from tests.support.faulty_http import Fault, FaultyProxy, faulty_proxy
from tests.support.moto import Moto
from tests.support.moto import moto as moto
from tests.unit.repository.world import KIB, MIB, NOW, back_up, new_repository, noise, reopen, restored

CONTENT = noise(MIB)
LACKING: dict[str, Callable[[str, str], bool]] = {
    "s3:GetObject": lambda method, path: method in ("GET", "HEAD") and "list-type" not in path,
    "s3:ListBucket": lambda method, path: method == "GET" and "list-type" in path,
    "s3:PutObject": lambda method, path: method == "PUT",
    "s3:DeleteObject": lambda method, path: method == "DELETE",
}
WORK: dict[str, Callable[[Repository], object]] = {
    "back up": lambda repository: back_up(repository, "q", noise(MIB, 2)),
    "restore": lambda repository: restored(repository, "p"),
    "verify": lambda repository: repository.verify(full=True),
    "delete": lambda repository: repository.delete_point("p", keep=0),
    "prune": lambda repository: repository.prune(NOW),
}
NEEDED = {
    "s3:GetObject": set(WORK),
    "s3:ListBucket": set(WORK),
    "s3:PutObject": {"back up", "delete"},
    "s3:DeleteObject": {"delete", "prune"},
}
"""What cannot be done without. A prune that finds nothing to free writes nothing."""


@pytest.fixture(scope="module")
def proxy(moto: Moto) -> Iterator[FaultyProxy]:
    with faulty_proxy(moto.endpoint) as running:
        yield running


def _content(store: S3Store) -> dict[str, str]:
    return {each.name: hashlib.sha256(store.get(each.name)).hexdigest() for each in store.list("")}


def _denying(right: str) -> Callable[[str, str], Fault | None]:
    return lambda method, path: (403, "AccessDenied") if LACKING[right](method, path) else None


@pytest.mark.scenario(18)
@pytest.mark.parametrize("right", sorted(LACKING))
def test_what_lacks_a_right_says_which_and_changes_nothing(
    moto: Moto, proxy: FaultyProxy, tmp_path: Path, right: str
) -> None:
    bucket = f"lacking-{right[3:].lower()}"
    moto.client(bucket).close()
    direct, store = moto.store(bucket), moto.store(bucket, endpoint=proxy.endpoint)
    proxy.fault = lambda *_: None
    with new_repository(direct, tmp_path / "made", 256 * KIB, MIB) as repository:
        back_up(repository, "p", CONTENT)
        repository.prune()
    with reopen(store, tmp_path / "cache") as repository:
        for what in sorted(WORK):
            before = _content(direct)
            proxy.fault = _denying(right)
            if what not in NEEDED[right]:
                WORK[what](repository)
            else:
                with pytest.raises(PermissionDenied) as refused:
                    WORK[what](repository)
                assert f"s3://{bucket}/here" in refused.value.message, what
                assert right in refused.value.hint, what
                left = _content(direct)
                new = left.keys() - before.keys()
                assert before == {name: each for name, each in left.items() if name not in new}
                if (right, what) == ("s3:DeleteObject", "delete"):
                    announced = ["deleted/", "trash/p/"]  # before something goes, and in a versioned bucket
                    assert announced == sorted(name[:8] for name in new)
                    assert ["TRASH_COPY_KEPT"] * 2 == [code for code, _ in repository.notices[-2:]]
                    assert [] == repository.list_trash(), "it is there, so it cannot be taken back"
                else:
                    assert set() == new
            proxy.fault = lambda *_: None


@pytest.mark.scenario(18)
@pytest.mark.parametrize("right", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"])
def test_without_a_right_no_repository_is_made_and_none_is_taken_for_missing(
    moto: Moto, proxy: FaultyProxy, tmp_path: Path, right: str
) -> None:
    bucket = f"making-{right[3:].lower()}"
    moto.client(bucket).close()
    proxy.fault = lambda *_: None
    new_repository(moto.store(bucket), tmp_path / "made").close()
    here = moto.place(bucket, endpoint=proxy.endpoint)
    elsewhere = S3Store(replace(here, prefix="there/"), credentials=moto.credentials)
    proxy.fault = _denying(right)
    with pytest.raises(PermissionDenied) as refused:
        new_repository(elsewhere, tmp_path / "new")
    assert right in refused.value.hint and f"s3://{bucket}/there" in refused.value.message
    if right != "s3:PutObject":
        with pytest.raises(PermissionDenied) as unseen:
            reopen(moto.store(bucket, endpoint=proxy.endpoint), tmp_path / "other")
        assert right in unseen.value.hint
    proxy.fault = lambda *_: None
    assert [] == list(elsewhere.list(""))
