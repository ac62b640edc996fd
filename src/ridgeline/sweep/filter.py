"""Which points of a grid are wanted: conditions on a scenario's fields, such as `tp * dp <= 8 and context <= "32k"`.

A condition is an expression of fields, numbers and text with + - * / // %, comparisons, `in`, `and`, `or`, `not`. Text
beside a field that is a quantity is read with its unit. Nothing else can be written, so nothing else can be run. Fields
may be numbers or arrays; arrays broadcast. Knows no result: what a point costs is asked of the finished sweep.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.scenario import Scenario, units
from ridgeline.units import parse

_ARITHMETIC: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_ORDER: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_EXAMPLE = 'such as "tp * dp <= 8" or \'context <= "32k"\''


def check(text: str) -> None:
    """Refuse a condition that cannot be evaluated.

    Raises
    ------
    InputError
        For text that is no condition on fields of a scenario; UnknownNameError for a field that does not exist.
    """
    tree = _parsed(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in Scenario.__struct_fields__:
            raise UnknownNameError(f"field in filter {text!r:.80}", node.id[:60], Scenario.__struct_fields__)
    numbers = units()
    wanted(text, {name: np.ones(1) if name in numbers else "" for name in Scenario.__struct_fields__})


def wanted(text: str, fields: Mapping[str, Any]) -> Any:
    """Whether the points keep the condition: a bool, or an array of them of the fields' common shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _Evaluation(text, fields).truth(_parsed(text))


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"filter {text!r:.80}", "not a condition", _EXAMPLE) from None


class _Evaluation:
    """One condition on one set of fields."""

    def __init__(self, text: str, fields: Mapping[str, Any]) -> None:
        self.text, self.fields = text, fields

    def truth(self, node: ast.expr) -> Any:
        """A condition's value."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return reduce(join, (self.truth(part) for part in node.values))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.logical_not(self.truth(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return reduce(np.logical_and, (self._compare(*pair) for pair in pairs))
        raise self._refusal("a comparison")

    def _compare(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(how, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple)):
                raise self._refusal("a list after `in`")
            found = reduce(np.logical_or, (self._compare(left, ast.Eq(), item) for item in right.elts), np.False_)
            return found if isinstance(how, ast.In) else np.logical_not(found)
        if type(how) not in _ORDER:
            raise self._refusal("a comparison of values")
        unit = next(
            (units()[side.id] for side in (left, right) if isinstance(side, ast.Name) and side.id in units()), ""
        )
        a, b = self._value(left, unit), self._value(right, unit)
        if _textual(a) != _textual(b):
            raise self._refusal("numbers beside numbers and text beside text")
        return _ORDER[type(how)](a, b)

    def _value(self, node: ast.expr, unit: str = "") -> Any:
        """A number, an array or text; `unit` is that of the field beside it."""
        if isinstance(node, ast.Name):
            return self.fields[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return parse(node.value, unit, f"filter {self.text!r:.80}:") if unit else node.value
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._number(node.left), self._number(node.right)
            if isinstance(node.op, (ast.Div, ast.FloorDiv, ast.Mod)):
                right = np.asarray(right, dtype=float)
            return _ARITHMETIC[type(node.op)](left, right)
        raise self._refusal("fields, numbers and text")

    def _number(self, node: ast.expr) -> Any:
        value = self._value(node)
        if _textual(value):
            raise self._refusal("numbers to compute with")
        return value

    def _refusal(self, expected: str) -> InputError:
        return InputError(f"filter {self.text!r:.80}", f"expected {expected}", _EXAMPLE)


def _textual(value: Any) -> bool:
    return isinstance(value, str) or getattr(value, "dtype", np.dtype(float)).kind == "U"
