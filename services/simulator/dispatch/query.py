"""The expressions of ``get_all_records_where``.

Fields go by their name in the database, ``name__label`` for ``name_label``; values are compared as stored
text (xapi: ocaml/database/db_filter_parse.mly, and recordings).
"""

import re
from collections.abc import Callable

from services.simulator.database.row import Row
from services.simulator.database.stored import database_name, stored_text
from services.simulator.failure import XapiFailure

Predicate = Callable[[Row], bool]
_TOKENS = re.compile(r'\s*(?:(true|false|and|or|not|field)\b|"([^"]*)"|([()=]))')


def parse(expression: str) -> Predicate:
    """Raises ``INVALID_VALUE`` for text that is no expression; the predicate raises for a field that is
    none.
    """
    tokens, position = [], 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            raise _invalid(expression, 'Failure("lexing: empty token")')
        tokens.append((match.group(1) or match.group(3), match.group(2)))
        position = match.end()
    parser = _Parser(expression, tokens)
    predicate = parser.disjunction()
    parser.end()
    return predicate


def _invalid(expression: str, why: str) -> XapiFailure:
    return XapiFailure("INVALID_VALUE", expression, why)


class _Parser:
    def __init__(self, expression: str, tokens: list[tuple[str | None, str | None]]) -> None:
        self._expression = expression
        self._tokens = tokens

    def disjunction(self) -> Predicate:
        left = self._conjunction()
        while self._took("or"):
            left = _either(left, self._conjunction())
        return left

    def end(self) -> None:
        if self._tokens:
            raise self._error()

    def _conjunction(self) -> Predicate:
        left = self._term()
        while self._took("and"):
            left = _both(left, self._term())
        return left

    def _term(self) -> Predicate:
        if self._took("not"):
            inner = self._term()
            return lambda row: not inner(row)
        if self._took("("):
            inner = self.disjunction()
            self._expect(")")
            return inner
        if self._took("true"):
            return lambda row: True
        if self._took("false"):
            return lambda row: False
        left = self._operand()
        self._expect("=")
        right = self._operand()
        return lambda row: left(row) == right(row)

    def _operand(self) -> Callable[[Row], str]:
        is_field = self._took("field")
        if not self._tokens or self._tokens[0][1] is None:
            raise self._error()
        text = self._tokens.pop(0)[1] or ""
        return (lambda row: stored_field(row, text)) if is_field else (lambda row: text)

    def _took(self, word: str) -> bool:
        if self._tokens and self._tokens[0][0] == word:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._took(word):
            raise self._error()

    def _error(self) -> XapiFailure:
        return _invalid(self._expression, "Stdlib.Parsing.Parse_error")


def _both(left: Predicate, right: Predicate) -> Predicate:
    return lambda row: left(row) and right(row)


def _either(left: Predicate, right: Predicate) -> Predicate:
    return lambda row: left(row) or right(row)


def stored_field(row: Row, name: str) -> str:
    """Raises ``INTERNAL_ERROR`` for a field that the class has not under this name."""
    if name in ("_ref", "ref"):
        return row.ref
    field = name.replace("__", "_")
    if field not in row or database_name(field) != name:
        raise XapiFailure("INTERNAL_ERROR", "missing field", name, "")
    return stored_text(row[field])
