"""The wire format: whatever a server sends is either understood or called malformed."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mover.adapters import nbd_protocol as nbd


@given(st.binary(min_size=18, max_size=18))
def test_any_banner_is_understood_or_malformed(banner: bytes) -> None:
    try:
        flags = nbd.parse_banner(banner)
    except nbd.Malformed:
        return
    assert banner == b"NBDMAGICIHAVEOPT" + struct.pack(">H", flags)


@given(st.binary(min_size=20, max_size=20))
def test_any_option_reply_is_understood_or_malformed(reply: bytes) -> None:
    try:
        nbd.parse_option_reply(reply, nbd.OPT_STARTTLS)
    except nbd.Malformed:
        return
    assert reply[8:12] == b"\0\0\0\5"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1), st.binary(max_size=124))
def test_any_export_is_understood_or_malformed(size: int, flags: int, padding: bytes) -> None:
    try:
        export = nbd.parse_export(struct.pack(">QH", size, flags) + padding)
    except nbd.Malformed:
        assert size >= 2**63 or not flags & 1 or any(padding)
        return
    assert export == (size, flags)


@given(st.binary(min_size=16, max_size=16))
def test_any_reply_is_understood_or_malformed(head: bytes) -> None:
    try:
        reply = nbd.parse_reply(head)
    except nbd.Malformed:
        assert head[:4] != b"\x67\x44\x66\x98"
        return
    assert struct.pack(">IIQ", 0x67446698, *reply) == head


def test_requests_look_as_the_recorded_client_sent_them() -> None:
    recorded = "2560951300000000000000000000000a000000000000100000001000"
    assert nbd.request(nbd.CMD_READ, 10, 4096, 4096).hex() == recorded
    assert nbd.option(nbd.OPT_STARTTLS).hex() == "49484156454f50540000000500000000"


@pytest.mark.parametrize(("offered", "answered", "length"), [(1, 1, 134), (3, 3, 10), (0xFFFF, 3, 10)])
def test_zeroes_are_left_out_only_when_offered(offered: int, answered: int, length: int) -> None:
    assert nbd.client_flags(offered) == struct.pack(">I", answered)
    assert nbd.export_bytes(offered) == length


def test_refusals_and_errors_have_words() -> None:
    assert nbd.refusal(0x80000002) == "its policy forbids TLS"
    assert nbd.refusal(0x80000063) == "it answers 0x80000063"
    assert nbd.errno_name(5) == "EIO"
    assert nbd.errno_name(4711) == "error 4711"
