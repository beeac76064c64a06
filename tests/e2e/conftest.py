"""The stack of the module."""

from tests.support.stack import stack

__all__ = ["stack"]
