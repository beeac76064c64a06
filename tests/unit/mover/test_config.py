import pytest

from services.chassis.config import load
from services.chassis.errors import InvalidInput
from services.mover.config import MoverConfig

ENOUGH = {
    "XENKEEP_DATA_DIR": "/var/lib/xenkeep",
    "XENKEEP_TLS_CA": "ca.pem",
    "XENKEEP_TLS_CERT": "cert.pem",
    "XENKEEP_TLS_KEY": "key.pem",
}


def test_nothing_but_the_files_has_to_be_chosen() -> None:
    config = load(MoverConfig, ENOUGH)
    assert ("home", 4, 20) == (config.site, config.transfers_at_once, config.transfer_lease.total_seconds())


@pytest.mark.parametrize("level", [-5, 1, 19])
def test_any_level_from_fastest_to_smallest_can_be_chosen(level: int) -> None:
    config = load(MoverConfig, ENOUGH | {"XENKEEP_COMPRESSION_LEVEL": str(level)})
    assert level == config.compression_level


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wrong = {
        "XENKEEP_SITE": "a.b",
        "XENKEEP_TRANSFERS_AT_ONCE": "0",
        "XENKEEP_COMPRESSION_LEVEL": "20",
        "XENKEEP_TRANSFER_LEASE": "1s",
        "XENKEEP_HYPERVISOR": "nowhere",
    }
    with pytest.raises(InvalidInput) as refused:
        load(MoverConfig, ENOUGH | wrong)
    assert all(name in str(refused.value) for name in wrong)
