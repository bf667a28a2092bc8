"""Whether a condition of SQL holds for every row: what a constant expression and a few identities say."""

from decimal import Decimal, InvalidOperation
from typing import Any

_MAX_DEPTH = 60


def always_true(condition: Any, depth: int = 0) -> bool:
    """True where the condition is surely true for all rows (rows with NULLs left aside); False where that is unknown."""
    from sqlglot import exp  # noqa: PLC0415 - an extra

    if depth > _MAX_DEPTH:
        return False
    deeper = depth + 1
    match condition:
        case exp.Where() | exp.Paren():
            return always_true(condition.this, deeper)
        case exp.And():
            return always_true(condition.left, deeper) and always_true(condition.right, deeper)
        case exp.Or():
            return always_true(condition.left, deeper) or always_true(condition.right, deeper)
        case exp.Not():
            return _always_false(condition.this, deeper)
        case exp.Exists():
            inner = condition.this
            return isinstance(inner, exp.Select) and inner.args.get("from_") is None and inner.args.get("where") is None
        case exp.Between():
            return _compared(condition.this, condition.args["low"]) in (0, 1) and (
                _compared(condition.this, condition.args["high"]) in (0, -1)
            )
        case exp.In():
            return any(_compared(condition.this, one) == 0 for one in condition.expressions)
        case exp.Like() | exp.ILike():
            return isinstance(condition.expression, exp.Literal) and not condition.expression.name.strip("%")
        case exp.Is():
            return _same(condition.this, condition.expression) or (
                isinstance(condition.expression, exp.Boolean) and always_true(condition.this, deeper)
            )
        case exp.Boolean():
            return bool(condition.this)
        case exp.Binary():
            return _holds(condition)
    value = _constant(condition)
    return isinstance(value, Decimal) and value != 0


def _always_false(condition: Any, depth: int) -> bool:
    from sqlglot import exp  # noqa: PLC0415 - an extra

    match condition:
        case exp.Paren():
            return _always_false(condition.this, depth + 1)
        case exp.Not():
            return always_true(condition.this, depth + 1)
        case exp.Boolean():
            return not condition.this
        case exp.Is():
            return isinstance(condition.this, exp.Literal) and isinstance(condition.expression, exp.Null)
    if isinstance(condition, exp.Binary):
        order = _compared(condition.left, condition.right)
        return order is not None and isinstance(condition, tuple(_orders())) and not _holds(condition)
    value = _constant(condition)
    return isinstance(value, Decimal) and value == 0


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


def _constant(value: Any, depth: int = 0) -> Decimal | str | None:
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
