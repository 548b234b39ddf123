"""The words of `--where`: a small grammar, read into a tree of values. Nothing of it is ever run as a program.

    condition  = part { "or" part }            part   = test { "and" test }           test = ["not"] comparison
    comparison = sum ( "<" | "<=" | ">" | ">=" | "=" | "==" | "!=" | "<>" ) sum
               | sum ["not"] "between" sum "and" sum
               | ( name | 'text' ) ["not"] "in" ( name | "(" value { "," value } ")" )
               | "(" condition ")"
    sum        = product { ( "+" | "-" ) product }      product = value { ( "*" | "/" ) value }
    value      = number | 'text' | name | "name with blanks" | "-" value | "(" sum ")"

Words are told from names without case. `'truncated' in flags` asks for a flag, `'inner' in path` for a piece of text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aescli.errors import UsageError
from aescli.names import escape

_EXAMPLE = "--where \"overall > 6 and sharpness > 4 and not 'truncated' in flags\""
_LONGEST, _DEEPEST = 10_000, 50  # characters; brackets and signs inside each other
_MOST_TERMS = 200  # of a sum or a product
_WORDS = frozenset({"and", "or", "not", "in", "between"})
_COMPARING = ("<", "<=", ">", ">=", "=", "!=")
_SPELLINGS = {"==": "=", "<>": "!="}
_TOKEN = re.compile(
    r"""\s*(?: (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) | (?P<word>[^\W\d]\w*)
          | (?P<text>'(?:[^']|'')*') | (?P<name>"(?:[^"]|"")+") | (?P<sign><=|>=|==|!=|<>|[<>=+\-*/(),]) )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Column:
    name: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`sign` is one of + - * /."""

    sign: str
    left: "Value"
    right: "Value"


Value = Number | Text | Column | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    """`sign` is one of < <= > >= = !=."""

    sign: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value is one of several."""

    value: Value
    options: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """A column holds a piece of text; `flags` holds a whole word."""

    text: Text
    column: Column


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any:
    parts: tuple["Condition", ...]


Condition = Comparison | OneOf | Holds | Not | All | Any


def parse(text: str) -> Condition:
    """Return the tree of a condition.

    Raises:
        UsageError: it is none; the message shows where.

    """
    if len(text) > _LONGEST:
        raise UsageError(f"--where has more than {_LONGEST:,} characters", hint="name the pictures in a list instead")
    reader = _Reader(text, [*_tokens(text)])
    found = reader.condition()
    if reader.peek() != ("", ""):
        raise reader.unexpected("and, or, or the end")
    return found


def columns_of(node: Condition | Value) -> frozenset[str]:
    """Return the names of the columns that a condition asks about."""
    match node:
        case Column(name):
            return frozenset({name})
        case Number() | Text():
            return frozenset()
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return columns_of(left) | columns_of(right)
        case OneOf(value, options):
            return columns_of(value).union(*map(columns_of, options))
        case Holds(_, column):
            return columns_of(column)
        case Not(part):
            return columns_of(part)
        case All(parts) | Any(parts):
            return frozenset().union(*map(columns_of, parts))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if not match:
            raise UsageError(f"--where cannot be understood from '{_shorten(text[at:])}' on", hint=_EXAMPLE)
        kind, found = next((kind, found) for kind, found in match.groupdict().items() if found is not None)
        if kind == "word" and found.lower() in _WORDS:
            kind, found = "sign", found.lower()
        yield _Token(kind, _SPELLINGS.get(found, found), match.end() - len(found))
        at = match.end()


@dataclass(slots=True)
class _Reader:
    """Reads tokens from left to right, each once. Brackets hold a condition or a sum: what it is shows at their end."""

    text: str
    tokens: list[_Token]
    at: int = 0
    depth: int = 0

    def peek(self) -> tuple[str, str]:
        token = self.tokens[self.at] if self.at < len(self.tokens) else _Token("", "", len(self.text))
        return token.kind, token.text

    def condition(self) -> Condition:
        return self._as_condition(self._either())

    def unexpected(self, wanted: str) -> UsageError:
        start = self.tokens[self.at].start if self.at < len(self.tokens) else len(self.text)
        here = f"'{_shorten(self.text[start:])}'" if self.text[start:].strip() else "the end"
        return UsageError(f"--where: expected {wanted} instead of {here}", hint=_EXAMPLE)

    def _either(self) -> Condition | Value:
        found = self._both()
        if self.peek() != ("sign", "or"):
            return found
        parts = [self._as_condition(found)]
        while self._take("or"):
            parts.append(self._as_condition(self._both()))
        return Any(tuple(parts))

    def _both(self) -> Condition | Value:
        found = self._test()
        if self.peek() != ("sign", "and"):
            return found
        parts = [self._as_condition(found)]
        while self._take("and"):
            parts.append(self._as_condition(self._test()))
        return All(tuple(parts))

    def _test(self) -> Condition | Value:
        if self._take("not"):
            with self:
                return Not(self._as_condition(self._test()))
        return self._comparison()

    def _comparison(self) -> Condition | Value:
        left = self._sum()
        kind, sign = self.peek()
        if kind == "sign" and sign in _COMPARING:
            self.at += 1
            return Comparison(sign, self._as_value(left), self._as_value(self._sum()))
        negated = self._take("not")
        found: Condition
        if self._take("between"):
            value, low = self._as_value(left), self._as_value(self._sum())
            self._need("and")
            high = self._as_value(self._sum())
            found = All((Comparison(">=", value, low), Comparison("<=", value, high)))
        elif self._take("in"):
            found = self._in(self._as_value(left))
        elif negated:
            raise self.unexpected("in or between")
        else:
            return left
        return Not(found) if negated else found

    def _in(self, left: Value) -> Condition:
        if self._take("("):
            options = [self._as_value(self._sum())]
            while self._take(","):
                options.append(self._as_value(self._sum()))
            self._need(")")
            return OneOf(left, tuple(options))
        column = self._primary()
        if isinstance(left, Text) and isinstance(column, Column):
            return Holds(left, column)
        raise UsageError("--where: 'in' wants 'text' in COLUMN, or COLUMN in (one, two)", hint=_EXAMPLE)

    def _sum(self) -> Condition | Value:
        found, terms = self._product(), 1
        while self.peek() in (("sign", "+"), ("sign", "-")):
            terms = _count(terms)
            sign = self.peek()[1]
            self.at += 1
            found = Arithmetic(sign, self._as_value(found), self._as_value(self._product()))
        return found

    def _product(self) -> Condition | Value:
        found, factors = self._primary(), 1
        while self.peek() in (("sign", "*"), ("sign", "/")):
            factors = _count(factors)
            sign = self.peek()[1]
            self.at += 1
            found = Arithmetic(sign, self._as_value(found), self._as_value(self._primary()))
        return found

    def _primary(self) -> Condition | Value:
        kind, text = self.peek()
        self.at += 1
        match kind:
            case "number":
                return Number(float(text))
            case "text":
                return Text(text[1:-1].replace("''", "'"))
            case "name":
                return Column(text[1:-1].replace('""', '"'))
            case "word":
                return Column(text)
            case "sign" if text == "-":
                with self:
                    return Arithmetic("-", Number(0.0), self._as_value(self._primary()))
            case "sign" if text == "(":
                with self:
                    found = self._either()
                self._need(")")
                return found
        self.at -= 1
        raise self.unexpected("a column, a number or 'text'")

    def _as_condition(self, found: Condition | Value) -> Condition:
        if isinstance(found, Value):
            raise self.unexpected("a comparison such as > 6")
        return found

    def _as_value(self, found: Condition | Value) -> Value:
        if not isinstance(found, Value):
            raise self.unexpected("and, or, or the end: what was compared is no value")
        return found

    def _take(self, sign: str) -> bool:
        taken = self.peek() == ("sign", sign)
        self.at += taken
        return taken

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self.unexpected(f"'{sign}'")

    def __enter__(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UsageError(f"--where has more than {_DEEPEST} brackets and signs inside each other")

    def __exit__(self, *_: object) -> None:
        self.depth -= 1


def _count(terms: int) -> int:
    if terms >= _MOST_TERMS:
        raise UsageError(f"--where has a sum or a product of more than {_MOST_TERMS} terms")
    return terms + 1


def _shorten(text: str) -> str:
    shown = escape(text.strip())
    return shown if len(shown) <= 30 else f"{shown[:27]}..."
