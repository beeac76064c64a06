"""What is put into a bucket is read as a file of all parts."""

import io

from hypothesis import given
from hypothesis import strategies as st

from services.mover.repository.stores.s3_body import Body, checksum_of, size_of


@given(
    st.lists(st.binary(max_size=9), max_size=5), st.lists(st.tuples(st.integers(0, 30), st.integers(-1, 12)))
)
def test_it_reads_as_its_parts_together_would(parts: list[bytes], reads: list[tuple[int, int]]) -> None:
    body, plain = Body(parts), io.BytesIO(b"".join(parts))
    assert body.read() == plain.read()
    assert body.seek(0, io.SEEK_END) == size_of(parts) == plain.tell() == body.tell()
    for offset, length in reads:
        at = min(offset, size_of(parts))
        assert body.seek(offset) == plain.seek(at)
        assert body.read(length) == plain.read(length)
        assert body.tell() == plain.tell()
    assert checksum_of(parts) == checksum_of([b"".join(parts)])
