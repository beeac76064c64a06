"""A repository made by the first release of format version 1 restores, and its bytes are as written down."""

import hashlib
import shutil
from pathlib import Path

import pytest

from services.mover.repository import DirectoryStore, open_repository, scrub
from services.mover.repository.format import canonical
from tests.contract.repository import make_golden
from tests.contract.repository.independent_reader import IndependentReader
from tests.unit.repository.world import MemoryTarget

GOLDEN = Path(__file__).parent / "golden"
RECOVERY_KEY = "WV93-77VX-C6XT-JTH5-9G99-205E-0AZ8-M3WM-6PQF"
SHA256 = {
    "golden-1": "574d9e9a3ac6b6b431366307d31192bdb49a2203178006d3bfd34cbdbd32fd01",
    "golden-2": "05425230317222af1aca4bc5969a4254eb5757f7706d2c40d536a244ed1cf974",
}


@pytest.mark.scenario(44)
@pytest.mark.parametrize(
    "secret", [make_golden.PASSPHRASE, RECOVERY_KEY, RECOVERY_KEY.lower().replace("-", " ")]
)
def test_the_golden_repository_restores(tmp_path: Path, secret: str) -> None:
    shutil.copytree(GOLDEN, tmp_path / "repository")
    with open_repository(DirectoryStore(tmp_path / "repository"), secret, tmp_path / "cache") as repository:
        assert repository.list_points() == sorted(SHA256)
        for point, digest in SHA256.items():
            target = MemoryTarget(make_golden.SIZE)
            repository.restore_disk(point, "disk", target)
            assert hashlib.sha256(target.content).hexdigest() == digest
            assert (
                b"".join(repository.read_stream(point, "vm-configuration"))
                == f"<vm point='{point}'/>".encode()
            )
        assert repository.verify(full=True).findings == ()
    assert list(scrub(DirectoryStore(GOLDEN))) == []


def test_this_release_still_writes_the_golden_repository_byte_for_byte(tmp_path: Path) -> None:
    make_golden.make(tmp_path / "again")
    again = {path.relative_to(tmp_path / "again"): path.read_bytes() for path in _files(tmp_path / "again")}
    del again[Path("reserve/ballast")]  # no part of the format's first release, and of no content
    assert again == {path.relative_to(GOLDEN): path.read_bytes() for path in _files(GOLDEN)}


@pytest.mark.scenario(44)
@pytest.mark.parametrize("point", sorted(SHA256))
def test_a_reader_made_from_the_document_alone_reads_it_without_index(point: str) -> None:
    objects = {str(path.relative_to(GOLDEN)): path.read_bytes() for path in _files(GOLDEN)}
    without = {name: data for name, data in objects.items() if not name.startswith(("index/", "epochs/"))}
    reader = IndependentReader(without, RECOVERY_KEY)
    content = reader.disk(reader.point(point), "disk")
    assert hashlib.sha256(content).hexdigest() == SHA256[point]
    assert f"<vm point='{point}'/>".encode() == reader.stream(reader.point(point), "vm-configuration")


def test_json_objects_are_canonical() -> None:
    for path in _files(GOLDEN):
        if path.parent.name == "keys" or path.suffix == ".json":
            assert (
                canonical.encode(canonical.decode_object(path.read_bytes(), path.name)) == path.read_bytes()
            )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
