"""Whether a condition of SQL holds for every row: what a constant expression and a few identities say."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

_MAX_DEPTH = 60


def always_true(condition: Any, depth: int = 0) -> bool:
    """True where a condition surely holds for all rows, rows with NULLs left aside; False where that is unknown."""
    from sqlglot import exp  # noqa: PLC0415 - an extra

    if depth > _MAX_DEPTH:
        return False
    judge = _judges().get(type(condition))
    if judge is not None:
        return judge(condition, depth + 1)
    if isinstance(condition, exp.Binary):
        return _holds(condition)
    value = _constant(condition)
    return isinstance(value, Decimal) and value != 0


@cache
def _judges() -> dict[type, Callable[[Any, int], bool]]:
    """What decides each kind of condition that is no comparison."""
    from sqlglot import exp  # noqa: PLC0415 - an extra

    return {
        exp.Where: lambda node, depth: always_true(node.this, depth),
        exp.Paren: lambda node, depth: always_true(node.this, depth),
        exp.And: lambda node, depth: always_true(node.left, depth) and always_true(node.right, depth),
        exp.Or: lambda node, depth: always_true(node.left, depth) or always_true(node.right, depth),
        exp.Not: lambda node, depth: _always_false(node.this, depth),
        exp.Boolean: lambda node, _: bool(node.this),
        exp.Exists: lambda node, _: not (node.this.args.get("from_") or node.this.args.get("where")),
        exp.Between: lambda node, _: (
            _compared(node.this, node.args["low"]) in (0, 1) and _compared(node.this, node.args["high"]) in (0, -1)
        ),
        exp.In: lambda node, _: any(_compared(node.this, one) == 0 for one in node.expressions),
        exp.Like: _any_text,
        exp.ILike: _any_text,
        exp.Is: lambda node, depth: (
            _same(node.this, node.expression)
            or (isinstance(node.expression, exp.Boolean) and always_true(node.this, depth))
        ),
    }


def _any_text(node: Any, _: int) -> bool:
    """LIKE with nothing but `%`."""
    from sqlglot import exp  # noqa: PLC0415 - an extra

    pattern = node.expression
    return isinstance(pattern, exp.Literal) and pattern.name.startswith("%") and not pattern.name.strip("%")


def _always_false(condition: Any, depth: int) -> bool:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    match condition:
        case exp.Paren():
            return depth < _MAX_DEPTH and _always_false(condition.this, depth + 1)
        case exp.Not():
            return always_true(condition.this, depth + 1)
        case exp.Boolean():
            return not condition.this
        case exp.Is():
            return isinstance(condition.this, exp.Literal) and isinstance(condition.expression, exp.Null)
    if type(condition) in _orders():
        return _compared(condition.left, condition.right) is not None and not _holds(condition)
    return _constant(condition) == 0


@cache
def _orders() -> dict[type, tuple[int, ...]]:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    return {
        exp.EQ: (0,),
        exp.NullSafeEQ: (0,),
        exp.NEQ: (-1, 1),
        exp.LT: (-1,),
        exp.LTE: (-1, 0),
        exp.GT: (1,),
        exp.GTE: (0, 1),
    }


def _holds(condition: Any) -> bool:
    return _compared(condition.left, condition.right) in _orders().get(type(condition), ())


def _compared(left: Any, right: Any) -> int | None:
    """-1, 0 or 1 as the left is less, equal or greater; None where it cannot be told."""
    if _same(left, right):
        return 0
    a, b = _constant(left), _constant(right)
    if isinstance(a, Decimal) and isinstance(b, Decimal):
        return (a > b) - (a < b)
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    return None


def _same(left: Any, right: Any) -> bool:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    return isinstance(left, exp.Column) and isinstance(right, exp.Column) and left.name.lower() == right.name.lower()


def _constant(value: Any, depth: int = 0) -> Decimal | str | None:  # noqa: PLR0911 - one return a kind of node
    from sqlglot import exp  # noqa: PLC0415 - an extra

    if depth > _MAX_DEPTH:
        return None
    match value:
        case exp.Paren():
            return _constant(value.this, depth + 1)
        case exp.Literal():
            return value.name if value.is_string else _number(value.name)
        case exp.Boolean():
            return Decimal(bool(value.this))
        case exp.Neg():
            inner = _constant(value.this, depth + 1)
            return -inner if isinstance(inner, Decimal) else None
        case exp.Add() | exp.Sub() | exp.Mul():
            return _sum(value, _constant(value.left, depth + 1), _constant(value.right, depth + 1))
    return None


def _sum(node: Any, a: Decimal | str | None, b: Decimal | str | None) -> Decimal | None:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    if not isinstance(a, Decimal) or not isinstance(b, Decimal):
        return None
    try:
        return a + b if isinstance(node, exp.Add) else a - b if isinstance(node, exp.Sub) else a * b
    except (InvalidOperation, ArithmeticError):
        return None


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text) if len(text) <= 40 else None
    except InvalidOperation:
        return None
