"""Writing and reading past the page cache: refused, cut short, or failing."""

import errno
import fcntl
import os
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import ResourceExhausted, Unavailable
from services.mover.adapters.raw_image import RawImage
from services.mover.repository import DirectoryStore, Extent
from tests.unit.repository.world import MIB, noise

CONTENT = noise(MIB + 5000)


@pytest.fixture(autouse=True)
def _can_be_passed(tmp_path: Path) -> None:
    try:
        os.close(os.open(tmp_path, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT, 0o600))
    except OSError as error:
        pytest.skip(f"the file system of {tmp_path} has nothing but its cache: {error}")


def _aligned(content: bytes) -> memoryview:
    memory = mmap(-1, len(content))
    memory[:] = content
    return memoryview(memory)


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def _only_when_direct(real: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    def call(descriptor: int, *args: Any) -> Any:
        return (answer if _is_direct(descriptor) else real)(descriptor, *args)

    return call


def _refuse(*_: object) -> int:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _fail_with(number: int) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("calls", [("fcntl",), ("write", "preadv")])
def test_where_the_cache_cannot_be_passed_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...]
) -> None:
    real_fcntl = fcntl.fcntl

    def without_direct(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            _refuse()
        return real_fcntl(descriptor, command, argument)

    for call in calls:
        if call == "fcntl":
            monkeypatch.setattr(fcntl, "fcntl", without_direct)
        else:
            monkeypatch.setattr(os, call, _only_when_direct(getattr(os, call), _refuse))
    store = DirectoryStore(tmp_path)
    store.put("large", [_aligned(CONTENT), b"end"])
    assert CONTENT + b"end" == store.get("large")
    with store.lend("large", 100, MIB) as lent:
        assert CONTENT[100 : MIB + 100] == lent


def test_what_does_not_begin_at_a_page_is_written_all_the_same(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("large", [_aligned(b"x" + CONTENT)[1:]])
    assert CONTENT == store.get("large")


def test_a_write_and_a_read_cut_short_go_on_where_they_were_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_preadv = os.write, os.preadv
    monkeypatch.setattr(
        os,
        "write",
        _only_when_direct(real_write, lambda descriptor, data: real_write(descriptor, data[: 64 << 10])),
    )
    monkeypatch.setattr(
        os,
        "preadv",
        _only_when_direct(
            real_preadv, lambda descriptor, views, at: real_preadv(descriptor, [views[0][: 64 << 10]], at)
        ),
    )
    store = DirectoryStore(tmp_path)
    store.put("large", [_aligned(CONTENT)])
    assert CONTENT == store.get("large")
    with store.lend("large", 100, len(CONTENT) - 100) as lent:
        assert CONTENT[100:] == lent


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, ResourceExhausted), (errno.EIO, Unavailable)]
)
def test_a_failure_is_not_taken_for_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    store = DirectoryStore(tmp_path, on_notice=lambda code, message: None)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", _only_when_direct(os.write, _fail_with(number)))
        with pytest.raises(expected):
            store.put("large", [_aligned(CONTENT)])
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("refused", [False, True])
def test_an_image_is_what_was_written_wherever_pieces_begin_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    if refused:
        monkeypatch.setattr(os, "pwrite", _only_when_direct(os.pwrite, _refuse))
    path, size = tmp_path / "disk.raw", 4 * MIB + 512
    pieces = {0: noise(MIB), MIB + 512: noise(300_000), 3 * MIB: noise(MIB + 512)}
    with RawImage(path, size, fresh=True) as image:
        for offset, content in pieces.items():
            image.write(offset, _aligned(content))
        image.sync()
        image.require_shape(size, [Extent(offset, len(content)) for offset, content in pieces.items()])
    expected = bytearray(size)
    for offset, content in pieces.items():
        expected[offset : offset + len(content)] = content
    assert expected == path.read_bytes()


def test_an_image_that_fails_to_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", _only_when_direct(os.pwrite, _fail_with(errno.ENOSPC)))
    with RawImage(tmp_path / "disk.raw", MIB, fresh=True) as image, pytest.raises(ResourceExhausted):
        image.write(0, _aligned(noise(MIB)))
