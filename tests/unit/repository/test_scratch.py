"""Memory that is lent again and again, to one at a time."""

from mmap import PAGESIZE

import pytest

from services.mover.repository.scratch import Loans


def test_what_came_back_is_lent_again() -> None:
    loans = Loans(PAGESIZE, spare=1)
    with loans.lend(10) as first, loans.lend(PAGESIZE) as second:
        first[:], second[:10] = b"first loan", b"other loan"
    with loans.lend(10) as again, loans.lend(10) as new:
        assert (bytes(again), bytes(new)) == (b"other loan", bytes(10))


def test_more_than_a_piece_is_lent_and_not_kept() -> None:
    loans = Loans(PAGESIZE, spare=1)
    with loans.lend(PAGESIZE + 1) as large:
        large[:5] = b"large"
    with loans.lend(5) as small:
        assert bytes(small) == bytes(5)


def test_what_an_exception_interrupted_may_be_looked_at_still_and_is_nobody_elses() -> None:
    loans = Loans(PAGESIZE, spare=4)
    with pytest.raises(KeyError), loans.lend(4) as interrupted:
        interrupted[:] = b"mine"
        raise KeyError
    with loans.lend(4) as other:
        other[:] = b"his!"
    assert bytes(interrupted) == b"mine"
