"""CRM's two query languages: search criteria, and COQL's `select … from … where … limit`.

Both become a `Condition`, a function of a record. What isn't understood is a `QueryError`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Condition = Callable[[dict[str, Any]], bool]
Reader = Callable[[dict[str, Any], str], Any]
"""Returns the value of a record's field, which can be that of a referenced record (`A.B`)."""


class QueryError(Exception):
    """A query that CRM refuses: the `case` of the error, and what fills it in."""

    def __init__(self, case: str, **values: Any) -> None:
        super().__init__(case)
        self.case, self.values = case, values


@dataclass(frozen=True)
class Query:
    """A COQL query: `order` is field and whether it descends."""

    fields: tuple[str, ...]
    condition: Condition
    order: tuple[tuple[str, bool], ...] = ()
    limit: int = 200
    offset: int = 0


_TOKEN = re.compile(
    r"\s*(?:'((?:[^'\\]|\\.)*)'|(<=|>=|!=|<>|[=<>(),])|([^\s'=<>!(),]+))", re.DOTALL
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "!=": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}


@dataclass(frozen=True)
class _Token:
    text: str
    is_string: bool
    column: int

    @property
    def word(self) -> str:
        return "" if self.is_string else self.text.casefold()


class _Tokens:
    """The tokens of a query, and the position in it."""

    def __init__(self, text: str) -> None:
        self.tokens: list[_Token] = []
        position, text = 0, text.rstrip().rstrip(";")
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise QueryError("syntax", near=text[position : position + 20], column=position + 1)
            string, operator, word = found.groups()
            value = re.sub(r"\\(.)", r"\1", string) if string is not None else operator or word
            self.tokens.append(_Token(value, string is not None, found.start() + 1))
            position = found.end()
        self.index = 0

    def peek(self, ahead: int = 0) -> str:
        """Return a coming word in lower case, without taking it."""
        at = self.index + ahead
        return self.tokens[at].word if at < len(self.tokens) else ""

    def take(self, *words: str) -> bool:
        """Take the coming words if they are these."""
        if all(self.peek(number) == word for number, word in enumerate(words)):
            self.index += len(words)
            return True
        return False

    def next(self) -> _Token:
        """Take the next token, whatever it is."""
        if self.index >= len(self.tokens):
            raise self.error()
        self.index += 1
        return self.tokens[self.index - 1]

    def error(self) -> QueryError:
        """Return the error of the position."""
        last = self.tokens[min(self.index, len(self.tokens) - 1)] if self.tokens else None
        return QueryError(
            "syntax", near=last.text if last else "", column=last.column if last else 1
        )

    def expect(self, word: str) -> None:
        """Take a word that must come."""
        if not self.take(word):
            raise self.error()

    @property
    def at_end(self) -> bool:
        return self.index >= len(self.tokens)


def parse_coql(text: str, read: Reader, known: Callable[[str], bool]) -> Query:
    """Return a COQL query; QueryError if CRM refuses it.

    `known` is whether the module has a field.
    """
    tokens = _Tokens(text)
    if not tokens.take("select"):
        raise tokens.error()
    words = [each.word for each in tokens.tokens]
    for clause in ("from", "where"):
        if clause not in words:
            raise QueryError("clause", clause=clause)
    fields = tuple(each.text for each in _comma_separated(tokens))
    tokens.expect("from")
    tokens.next()
    tokens.expect("where")

    def check(name: str) -> str:
        if not known(name):
            raise QueryError("column", column_name=name)
        return name

    condition = _any_of(tokens, read, check)
    order: list[tuple[str, bool]] = []
    if tokens.take("order", "by"):
        order.append((check(tokens.next().text), _descends(tokens)))
        while tokens.take(","):
            order.append((check(tokens.next().text), _descends(tokens)))
    limit, offset = _limits(tokens)
    if not tokens.at_end:
        raise tokens.error()
    for name in fields:
        check(name)
    if len(set(fields)) != len(fields):
        raise QueryError("duplicate_column")
    return Query(fields, condition, tuple(order), limit, offset)


def _comma_separated(tokens: _Tokens) -> Iterator[_Token]:
    yield tokens.next()
    while tokens.take(","):
        yield tokens.next()


def _descends(tokens: _Tokens) -> bool:
    descends = tokens.take("desc")
    if not descends:
        tokens.take("asc")
    return descends


def _limits(tokens: _Tokens) -> tuple[int, int]:
    limit, offset = 200, 0
    if tokens.take("limit"):
        limit = _number(tokens)
        if tokens.take(","):
            limit, offset = _number(tokens), limit
    if tokens.take("offset"):
        offset = _number(tokens)
    return limit, offset


def _number(tokens: _Tokens) -> int:
    token = tokens.next()
    if token.is_string or not token.text.isdecimal():
        tokens.index -= 1
        raise tokens.error()
    return int(token.text)


def _any_of(tokens: _Tokens, read: Reader, check: Callable[[str], str]) -> Condition:
    options = [_all_of(tokens, read, check)]
    while tokens.take("or"):
        options.append(_all_of(tokens, read, check))
    return lambda record: any(each(record) for each in options)


def _all_of(tokens: _Tokens, read: Reader, check: Callable[[str], str]) -> Condition:
    parts = [_single(tokens, read, check)]
    while tokens.take("and"):
        parts.append(_single(tokens, read, check))
    return lambda record: all(each(record) for each in parts)


def _single(tokens: _Tokens, read: Reader, check: Callable[[str], str]) -> Condition:
    if tokens.take("("):
        inner = _any_of(tokens, read, check)
        tokens.expect(")")
        return inner
    name = check(tokens.next().text)
    if tokens.take("is", "not", "null"):
        return lambda record: read(record, name) is not None
    if tokens.take("is", "null"):
        return lambda record: read(record, name) is None
    is_negated = tokens.take("not")
    if tokens.take("in"):
        tokens.expect("(")
        wanted = [each.text for each in _comma_separated(tokens)]
        tokens.expect(")")
        found = _one_of(wanted, read, name)
    elif tokens.take("like"):
        found = _like(tokens.next().text, read, name)
    elif tokens.take("between"):
        low = tokens.next().text
        tokens.expect("and")
        found = _between(low, tokens.next().text, read, name)
    elif not is_negated and tokens.peek() in (*_COMPARISONS, "<>"):
        found = compare(tokens.next().text.replace("<>", "!="), tokens.next().text, read, name)
    else:
        raise tokens.error()
    return (lambda record: not found(record)) if is_negated else found


def _one_of(wanted: list[str], read: Reader, name: str) -> Condition:
    options = [compare("=", each, read, name) for each in wanted]
    return lambda record: any(each(record) for each in options)


def _like(pattern: str, read: Reader, name: str) -> Condition:
    expression = re.compile(".*".join(map(re.escape, pattern.split("%"))), re.I | re.S)
    return lambda record: expression.fullmatch(str(read(record, name) or "")) is not None


def _between(low: str, high: str, read: Reader, name: str) -> Condition:
    above, below = compare(">=", low, read, name), compare("<=", high, read, name)
    return lambda record: above(record) and below(record)


def compare(operator: str, wanted: str, read: Reader, name: str) -> Condition:
    """Return the condition that a field compares to `wanted`, text as the query has it."""
    check = _COMPARISONS[operator]

    def holds(record: dict[str, Any]) -> bool:
        value = read(record, name)
        if value is None:
            return operator == "!="
        if isinstance(value, bool):
            return check(str(value).casefold(), wanted.casefold())
        if isinstance(value, int | float):
            return bool(_NUMBER.fullmatch(wanted)) and check(float(value), float(wanted))
        return check(str(value).casefold(), wanted.casefold())

    return holds


_NUMBER = re.compile(r"-?\d+(\.\d+)?")

# Search criteria: `((Last_Name:equals:Burns\,B)and(First_Name:starts_with:M))`

_CRITERION = re.compile(r"([\w.]+):(\w+):((?:\\.|[^\\()])*)", re.DOTALL)
_OPERATORS = {
    "not_equal": "!=",
    "greater_equal": ">=",
    "greater_than": ">",
    "less_equal": "<=",
    "less_than": "<",
}


def parse_criteria(text: str, read: Reader, known: Callable[[str], bool]) -> Condition:
    """Return the condition of search criteria; QueryError if CRM refuses them."""
    condition, position = _criteria(text.strip(), 0, read, known)
    if position != len(text.strip()):
        raise QueryError("criteria")
    return condition


def _criteria(
    text: str, position: int, read: Reader, known: Callable[[str], bool]
) -> tuple[Condition, int]:
    first, position = _criterion(text, position, read, known)
    parts, joints = [first], []
    while joint := re.compile(r"\s*(and|or)\s*(?=\()", re.I).match(text, position):
        joints.append(joint[1].casefold())
        following, position = _criterion(text, joint.end(), read, known)
        parts.append(following)
    combine = any if "or" in joints else all
    return (lambda record: combine(each(record) for each in parts)), position


def _criterion(
    text: str, position: int, read: Reader, known: Callable[[str], bool]
) -> tuple[Condition, int]:
    if text[position : position + 1] == "(":
        inner, position = _criteria(text, position + 1, read, known)
        if text[position : position + 1] != ")":
            raise QueryError("criteria")
        return inner, position + 1
    found = _CRITERION.match(text, position)
    if found is None:
        raise QueryError("criteria")
    name, operator, value = found[1], found[2].casefold(), found[3]
    if not known(name):
        raise QueryError("criteria")
    return _operation(operator, value, read, name), found.end()


def _operation(operator: str, value: str, read: Reader, name: str) -> Condition:
    values = [re.sub(r"\\(.)", r"\1", each) for each in re.split(r"(?<!\\),", value)]
    if operator in _OPERATORS:
        return compare(_OPERATORS[operator], values[0], read, name)
    if operator == "starts_with":
        return _like(values[0] + "%", read, name)
    if operator == "equals":
        # CRM finds "ABC Inc" for "ABC", too.
        return _like(f"%{values[0]}%", read, name)
    if operator == "in":
        return _one_of(values, read, name)
    if operator == "between" and len(values) == 2:
        return _between(values[0], values[1], read, name)
    raise QueryError("criteria")
