"""How notifications read, whatever the names in them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.amounts import count, duration, size
from services.notifier.domain.gsm7 import segments
from services.notifier.domain.notification import Severity
from services.notifier.domain.text import one_line, plain_text, short_text, subject
from tests.contract.notifier.samples import a_notification


@pytest.mark.parametrize(
    ("severity", "tag"), [(Severity.INFO, "OK"), (Severity.WARNING, "WARN"), (Severity.ERROR, "FAIL")]
)
def test_the_subject_says_how_bad_what_and_what_happened(severity: Severity, tag: str) -> None:
    assert subject(a_notification(severity=severity)) == f"[{tag}] nightly: 1 of 3 VMs was not backed up"


@given(st.text(), st.text(), st.text())
def test_no_name_breaks_a_line(about: str, headline: str, value: str) -> None:
    notification = a_notification(about=about, headline=headline, details=((about, value),))
    assert len(subject(notification).splitlines()) == 1
    assert len(subject(notification)) <= 200
    assert len(plain_text(notification).splitlines()) == 7


@given(st.text())
def test_a_line_once_made_harmless_stays_as_it_is(text: str) -> None:
    assert one_line(one_line(text)) == one_line(text)


def test_a_text_message_has_the_advice_when_it_fits_one_segment() -> None:
    short = a_notification(advice="Retry it.")
    long = a_notification(advice="Retry it. " * 20)
    assert short_text(short) == "[FAIL] nightly: 1 of 3 VMs was not backed up. Retry it."
    assert short_text(long) == "[FAIL] nightly: 1 of 3 VMs was not backed up"


@pytest.mark.parametrize(
    ("text", "septets"),
    [("a" * 160, 160), ("[" * 80, 160), ("@£$ÄÖÜß€", 9)],
)
def test_gsm7_counts_what_needs_an_escape_twice(text: str, septets: int) -> None:
    cut = segments(text)
    assert cut.gsm7 is True
    assert [len(body) for body in cut.bodies] == [septets]


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("@", b"\x00"),
        ("{", b"\x1b\x28"),
        ("€", b"\x1be"),
        ("à", b"\x7f"),
        ("Hello", b"Hello"),
        ("_", b"\x11"),
    ],
)
def test_gsm7_is_the_alphabet_of_3gpp_23_038(text: str, encoded: bytes) -> None:
    assert segments(text).bodies == (encoded,)


@given(st.text(min_size=1, max_size=600))
def test_segments_are_never_too_long_and_cut_no_character(text: str) -> None:
    cut = segments(text)
    longest = (160 if cut.gsm7 else 140) if len(cut.bodies) == 1 else (153 if cut.gsm7 else 134)
    assert all(len(body) <= longest for body in cut.bodies)
    if cut.gsm7:
        assert not any(body.endswith(b"\x1b") for body in cut.bodies)
    else:
        assert "".join(body.decode("utf-16-be") for body in cut.bodies) == text.encode(
            "utf-16-be", "replace"
        ).decode("utf-16-be")


def test_a_text_beyond_255_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        segments("a" * (153 * 256))


def test_amounts_read_as_people_say_them() -> None:
    assert [size(amount) for amount in (0, 1023, 1536, 5 * 2**40)] == ["0 B", "1023 B", "1.5 KiB", "5.0 TiB"]
    spans = [timedelta(seconds=seconds) for seconds in (-3, 9, 250, 7500)]
    assert [duration(span) for span in spans] == ["0 s", "9 s", "4 min 10 s", "2 h 5 min"]
    assert [count(1, "VM"), count(0, "VM")] == ["1 VM", "0 VMs"]
