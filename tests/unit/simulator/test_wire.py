"""Encodings, both ways."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.transfers import tar
from services.simulator.wire import jsonrpc, xmlrpc
from services.simulator.wire.datetimes import DateTime
from services.simulator.wire.xmlrpc import Int4

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=("Cc", "Cs")))
VALUES = st.recursive(
    TEXT | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a<b>&\"'", "<value>a&lt;b&gt;&amp;&quot;'</value>"),
        (4294967296, "<value>4294967296</value>"),
        (Int4(3), "<value><i4>3</i4></value>"),
        (1.0, "<value><double>1</double></value>"),
        (3.3333333333333335, "<value><double>3.333333333333333</double></value>"),
        (math.inf, "<value><double>inf</double></value>"),
        (True, "<value><boolean>1</boolean></value>"),
        (None, "<value></value>"),
        (
            DateTime("20261122T09:12:14Z"),
            "<value><dateTime.iso8601>20261122T09:12:14Z</dateTime.iso8601></value>",
        ),
        ("a\x01b", "<value>ab</value>"),
        (
            {"a": None, "b": "c"},
            "<value><struct><member><name>b</name><value>c</value></member></struct></value>",
        ),
    ],
)
def test_xml_values_are_written_as_xapi_does(value: object, text: str) -> None:
    assert xmlrpc.encode(value) == text


@given(VALUES)
def test_xml_values_are_read_back(value: object) -> None:
    assert xmlrpc.decode_value(xmlrpc.encode(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<foo/>",
        b"<methodCall><methodName>a</methodName></methodCall>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><methodCall><methodName>a</methodName><params/></methodCall>',
        b"<methodCall><methodName>a</methodName><params><param><value><boolean>2</boolean></value></param></params>"
        b"</methodCall>",
        b"<methodCall><methodName>a</methodName><params><param/></params></methodCall>",
    ],
)
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(xmlrpc.MalformedCall):
        xmlrpc.decode_call(body)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_readers(body: bytes) -> None:
    for read, refusal in (
        (xmlrpc.decode_call, xmlrpc.MalformedCall),
        (jsonrpc.decode, jsonrpc.MalformedRequest),
    ):
        try:
            read(body)
        except refusal:
            continue


@given(st.text(alphabet="abcRef:/0123456789.", min_size=1, max_size=60), st.integers(0, 2**30))
def test_tar_headers_are_read_back(name: str, size: int) -> None:
    assert tar.parse_header(tar.header(name, size)) == tar.Member(name, size)


def test_a_damaged_tar_header_is_refused() -> None:
    damaged = bytearray(tar.header("ova.xml", 10))
    damaged[0] ^= 1
    with pytest.raises(tar.BadTar):
        tar.parse_header(bytes(damaged))


def test_json_says_of_numbers_that_are_none_what_yojson_does() -> None:
    assert jsonrpc.encode({"max": math.inf, "min": -math.inf}) == '{"max":Infinity,"min":-Infinity}'
    assert json.loads(jsonrpc.encode([math.inf, 1.0])) == [math.inf, 1.0]
