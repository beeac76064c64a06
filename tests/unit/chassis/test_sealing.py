"""What a service keeps of passwords is of no use without its key file, or in another row."""

import stat
from pathlib import Path

import pytest

from services.chassis.config import Secret
from services.chassis.errors import DataLoss
from services.chassis.sealing import Sealer

PASSWORD = "a password of a pool"


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    return Sealer(tmp_path / "sealing.key")


def test_a_sealed_secret_is_not_seen_and_comes_back(sealer: Sealer, tmp_path: Path) -> None:
    sealed = sealer.seal(Secret(PASSWORD), "pool 1")

    assert PASSWORD.encode() not in sealed
    assert sealed != sealer.seal(Secret(PASSWORD), "pool 1"), "equal secrets do not show"
    assert PASSWORD == Sealer(tmp_path / "sealing.key").open(sealed, "pool 1").reveal()


def test_the_key_file_is_for_its_owner_alone(sealer: Sealer, tmp_path: Path) -> None:
    assert 0o600 == stat.S_IMODE((tmp_path / "sealing.key").stat().st_mode)


def test_a_sealed_secret_in_another_row_does_not_open(sealer: Sealer) -> None:
    with pytest.raises(DataLoss) as caught:
        sealer.open(sealer.seal(Secret(PASSWORD), "pool 1"), "pool 2")

    assert "SECRET_UNREADABLE" == caught.value.reason


def test_a_sealed_secret_without_its_key_file_does_not_open(sealer: Sealer, tmp_path: Path) -> None:
    with pytest.raises(DataLoss) as caught:
        Sealer(tmp_path / "another.key").open(sealer.seal(Secret(PASSWORD), "pool 1"), "pool 1")

    assert "SECRET_UNREADABLE" == caught.value.reason
    assert PASSWORD not in str(caught.value)


def test_a_changed_sealed_secret_does_not_open(sealer: Sealer) -> None:
    sealed = bytearray(sealer.seal(Secret(PASSWORD), "pool 1"))
    sealed[-1] ^= 1
    for changed in (bytes(sealed), b""):
        with pytest.raises(DataLoss, match="cannot be read"):
            sealer.open(changed, "pool 1")
