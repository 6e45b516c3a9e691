"""CHECKs that compare numbers, told of a row without the database: what else is wrong with a row that is at fault."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Any

from core.explore.imports.values import NUMERIC, RowError, shortened
from core.repositories.bulk import Column, Target
from core.repositories.bulk.stage import worded
from core.repositories.bulk.target import Rule

Fault = tuple[str, str, str]  # the file's column, the value, why
_Side = Column | Decimal
_Comparison = tuple[_Side, Callable[[Any, Any], bool], _Side]
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "<>": operator.ne,
}  # fmt: skip
_CAST = re.compile(r"::(?:numeric|smallint|integer|bigint|double precision)\b")
_QUOTED = re.compile(r"'(-?\d+(?:\.\d+)?)'")
_CALL = re.compile(r"\b(?!AND\b|BETWEEN\b)[A-Za-z_]\w*\s*\(", re.I)
_BETWEEN = re.compile(r"(\w+) BETWEEN (-?[\d.]+) AND (-?[\d.]+)", re.I)
_COMPARISON = re.compile(r"(-?[\w.]+) (<=|>=|<>|<|>|=) (-?[\w.]+)")
MOST_DIGITS = 1000  # that a numeric column may declare
_INEXACT = frozenset({"real"})  # a server's rounding decides there


class Ranges:
    """A table's CHECKs that are comparisons of numbers, joined by AND. names: table column -> the file's column."""

    def __init__(self, into: Target, names: Mapping[str, str]) -> None:
        self._names = names
        self._sqlite = into.backend == "sqlite"
        self._rules = [(rule, found) for rule in into.rules if (found := _comparisons(rule, into))]

    def faults(self, columns: Mapping[str, Any], place: int) -> list[Fault]:
        """What the row at this place breaks. columns: name -> texts, null where there is none or one at fault."""
        found = []
        for rule, comparisons in self._rules:
            if not all(name in columns for name in rule.columns):
                continue
            cells = {name: columns[name][place].as_py() for name in rule.columns}
            if any(self._broken(one, cells) for one in comparisons):
                names = ", ".join(self._names.get(name, name) for name in rule.columns)
                value = ", ".join(str(cell) for cell in cells.values())
                found.append((names, shortened(value), f"the table asks for {worded(rule.sql)}"))
        return found

    def _broken(self, comparison: _Comparison, cells: Mapping[str, str | None]) -> bool:
        left, holds, right = comparison
        one, other = self._number(left, cells), self._number(right, cells)
        return one is not None and other is not None and not holds(one, other)

    def _number(self, side: _Side, cells: Mapping[str, str | None]) -> Decimal | float | None:
        """The number as the database would keep it; None for what has no place among numbers (NULL, NaN) or too many
        digits. Source: PostgreSQL rounds numeric half away from zero."""
        if isinstance(side, Decimal):
            return float(side) if self._sqlite else side
        text = cells[side.name]
        if text is None:
            return None
        number = Decimal(text)
        if number.is_nan():
            return None
        if self._sqlite or side.kind in ("double precision", "float"):
            return float(number)
        if not side.digits:
            return number
        with localcontext(prec=MOST_DIGITS), suppress(InvalidOperation):
            return number.quantize(Decimal(1).scaleb(-side.digits[1]), ROUND_HALF_UP)
        return None


def told(row: int, faults: list[Fault]) -> RowError:
    """One error for a row, whatever is wrong in it."""
    if len(faults) == 1:
        return RowError(row, *faults[0])
    columns, values = (", ".join(fault[place] for fault in faults) for place in (0, 1))
    return RowError(row, columns, values, "; ".join(f"{name}: {reason}" for name, _, reason in faults))


def _comparisons(rule: Rule, into: Target) -> list[_Comparison]:
    """What the CHECK compares; nothing where it says anything else."""
    sql = _QUOTED.sub(r"\1", _CAST.sub("", rule.sql).replace('"', ""))
    if _CALL.search(sql):
        return []
    sql = _BETWEEN.sub(r"\1 >= \2 AND \1 <= \3", sql.replace("(", "").replace(")", ""))
    found = []
    for part in re.split(r"\s+AND\s+", sql, flags=re.I):
        match = _COMPARISON.fullmatch(part.strip())
        sides = (_side(match[1], into), _side(match[3], into)) if match else (None, None)
        if match is None or sides[0] is None or sides[1] is None:
            return []
        found.append((sides[0], _SIGNS[match[2]], sides[1]))
    return found


def _side(text: str, into: Target) -> _Side | None:
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return Decimal(text)
    column = into.by_name.get(text)
    return column if column and column.kind in NUMERIC - _INEXACT else None
