"""S3 URLs: one way to write each, no secret in any, nothing half understood."""

from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.mover.adapters.stores import Stores
from services.mover.repository.stores.s3_place import parse_place, read_credentials


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("s3://bucket", "s3://bucket/?credentials=bucket&region=us-east-1"),
        ("s3://bucket/a//b/?region=eu-1", "s3://bucket/a/b?credentials=bucket&region=eu-1"),
        (
            "s3://bucket/a?endpoint=https%3A%2F%2Fs3.example.org%3A9000/&credentials=mine",
            "s3://bucket/a?credentials=mine&endpoint=https://s3.example.org:9000&region=us-east-1",
        ),
        ("s3://bucket?lock=30d", "s3://bucket/?credentials=bucket&lock=30d&region=us-east-1"),
    ],
)
def test_a_url_is_written_in_one_way(url: str, written: str) -> None:
    assert written == Stores().location(url)
    assert written == Stores().location(written)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket/a",
        "s3:///a",
        "s3://B_ucket/a",
        "s3://bucket/a/.hidden",
        "s3://bucket/..",
        "s3://bucket/a?endpoint=http://s3.example.org",
        "s3://bucket/a?endpoint=ftp://s3.example.org",
        "s3://bucket/a?endpoint=https://me:hunter2@s3.example.org",
        "s3://bucket/a?credentials=../../etc/passwd",
        "s3://bucket/a?secret=hunter2",
        "s3://bucket/a?lock=0d",
        "s3://bucket/a?lock=forever",
        "s3://bucket/a?lock=99999999d",
        "s3://bucket/a#hunter2",
        "s3://bucket/a?endpoint=https://[::",
        "s3://bucket/a?endpoint=https://host:99999",
    ],
)
def test_what_is_not_understood_whole_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_place(url)
    assert "hunter2" not in str(caught.value)


def test_credentials_are_the_lines_of_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "mine"
    file.write_text(
        "[default]\n# a note = of ours\naws_access_key_id = id\naws_secret_access_key=a=b\nregion=x\n"
    )
    assert {"aws_access_key_id": "id", "aws_secret_access_key": "a=b"} == read_credentials(file)


@pytest.mark.parametrize("content", [None, b"", b"aws_access_key_id = hunter2", b"\xff\xfe"])
def test_missing_credentials_are_told_with_where_they_belong(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mine").write_bytes(content)
    with pytest.raises(FailedPrecondition, match="XENKEEP_S3_CREDENTIALS_DIR") as caught:
        read_credentials(tmp_path / "mine")
    assert "hunter2" not in str(caught.value)
