"""Views made for the tables that people look at most: what is shown, in which words, and in which tone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any

from core.explore.address import ALL
from core.explore.cells import cell, moment_of, one_line
from core.explore.relation import Column, Relation
from core.explore.typed import is_number
from core.format import age

Row = Mapping[str, Any]
SIDES = {
    "BUY": ("▲ Buy", "good"), "SELL": ("▼ Sell", "bad"), "LONG": ("▲ Long", "good"), "SHORT": ("▼ Short", "bad"),
}  # fmt: skip
# The signs stand for the icons of other pages: a cell of a table shows no icons.
SEVERITIES = {
    "EMERGENCY": ("‼ Emergency", "bad"), "CRITICAL": ("✕ Critical", "bad"), "WARNING": ("△ Warning", "doubt"),
    "INFO": ("○ Info", "quiet"),
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One column of a grid. needs: the table's columns it is made of, the first is the one it is sorted by.

    text(row, zone): the cell, None for NULL. tone(row): good, bad, doubt, quiet or "". computed: from several columns,
    so that no order of the table is its own.
    """

    label: str
    needs: tuple[str, ...]
    text: Callable[[Row, tzinfo], str | None]
    tone: Callable[[Row], str] | None = None
    right: bool = False
    help: str = ""
    computed: bool = False


def shown_of(of: Relation, columns: Sequence[str], most: int) -> list[Shown]:
    """What a grid shows: the chosen columns, else the table's made view, else its first `most` columns.

    A chosen column is shown as the made view has it, with what is worked out from it; all of them as they are.
    Raises schema.missing_column, permission.table for a chosen one.
    """
    if tuple(columns) == (ALL,):
        return [_plain(column) for column in of.readable]
    made = [one for one in _MADE.get(_ours(of), ()) if all(_readable(of, name) for name in one.needs)]
    if columns:
        chosen = [of.column(name) for name in dict.fromkeys(columns)]
        each = ([one for one in made if one.needs[0] == column.name] or [_plain(column)] for column in chosen)
        return list(chain.from_iterable(each))
    return made or [_plain(column) for column in of.readable[:most]]


def needed(shown: Sequence[Shown], of: Relation) -> list[str]:
    """The table's columns that a grid asks for: what is shown, the key, what resolving asks of an alert."""
    state = ("id", "resolved") if are_alerts(of) else ()
    return list(dict.fromkeys([*(name for one in shown for name in one.needs), *of.key, *state]))


def are_alerts(of: Relation) -> bool:
    """Whether these rows are our alerts, which can be resolved."""
    return _ours(of) == "alerts" and all(_readable(of, name) for name in ("id", "resolved", "resolution"))


def _ours(of: Relation) -> str:
    return of.name if of.schema in ("public", "main") else ""


def _readable(of: Relation, name: str) -> bool:
    return name in of.by_name and of.by_name[name].readable


def _plain(column: Column) -> Shown:
    return Shown(
        one_line(column.name),
        (column.name,),
        lambda row, zone: cell(row[column.name], column, zone),
        right=is_number(column),
        help=column.type,
    )


def readable(value: Any, *, money: bool = False, sign: bool = False) -> str | None:
    """A number with thousands grouped: exact; as money with two places, or four digits where it is less than one."""
    number = _number(value)
    if number is None:
        return None if value is None else one_line(str(value))
    if money:
        places = 2 if abs(number) >= 1 or number == 0 else min(12, 3 - number.adjusted())
        number = round(number, places)
    text = f"{abs(number):,f}"
    whole, _, rest = text.partition(".")
    rest = rest.rstrip("0").ljust(2 if money else 0, "0")
    text = f"{whole}.{rest}" if rest else whole
    return f"{'−' if number < 0 else '+' if sign and number > 0 else ''}{text}"


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | Decimal) else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _toned(name: str) -> Callable[[Row], str]:
    def tone(row: Row) -> str:
        number = _number(row[name])
        return "" if number is None or number == 0 else "good" if number > 0 else "bad"

    return tone


def _text(name: str, label: str) -> Shown:
    return Shown(label, (name,), lambda row, zone: cell(row[name], Column(name, "text"), zone))


def _time(name: str, label: str) -> Shown:
    return Shown(label, (name,), lambda row, zone: cell(row[name], Column(name, "timestamp"), zone))


def _amount(name: str, label: str) -> Shown:
    return Shown(label, (name,), lambda row, zone: readable(row[name]), right=True)


def _money(name: str, label: str, currency: str = "currency", *, help: str = "") -> Shown:
    return Shown(label, (name, currency), lambda row, zone: _with(row, name, currency, sign=False), None, True, help)


def _result(name: str, label: str, currency: str = "currency") -> Shown:
    return Shown(
        label, (name, currency), lambda row, zone: _with(row, name, currency, sign=True), _toned(name), right=True
    )


def _with(row: Row, name: str, currency: str, *, sign: bool) -> str | None:
    text = readable(row[name], money=True, sign=sign)
    return None if text is None else f"{text} {one_line(str(row[currency] or ''))}".rstrip()


def _worded(name: str, label: str, words: Mapping[str, tuple[str, str]]) -> Shown:
    def text(row: Row, zone: tzinfo) -> str | None:
        value = row[name]
        return words[value][0] if value in words else cell(value, Column(name, "text"), zone)

    return Shown(label, (name,), text, lambda row: words.get(row[name], ("", ""))[1])


def _age(name: str) -> Shown:
    def text(row: Row, zone: tzinfo) -> str | None:
        at = moment_of(row[name], Column(name, "timestamp"))
        return None if at is None else age(at, datetime.now(UTC))

    return Shown("Age", (name,), text, right=True)


def _value(quantity: str, price: str) -> Shown:
    def text(row: Row, zone: tzinfo) -> str | None:
        numbers = _number(row[quantity]), _number(row[price])
        if numbers[0] is None or numbers[1] is None:
            return None
        product = readable(numbers[0] * numbers[1], money=True)
        return f"{product} {one_line(str(row['currency'] or ''))}".rstrip()

    return Shown("Value", (quantity, price, "currency"), text, right=True, help=f"{quantity} × {price}", computed=True)


def _percentage(name: str, label: str) -> Shown:
    def text(row: Row, zone: tzinfo) -> str | None:
        number = _number(row[name])
        return None if number is None else f"{readable(round(number, 2), money=True, sign=True)} %"

    return Shown(label, (name,), text, _toned(name), right=True)


def _resolved() -> Shown:
    def text(row: Row, zone: tzinfo) -> str:
        who = one_line(str(row["resolved_by"] or ""))
        return (f"✓ Resolved by {who}" if who else "✓ Resolved") if row["resolved"] else "● Open"

    return Shown("State", ("resolved", "resolved_by"), text, lambda row: "quiet" if row["resolved"] else "")


_MADE: dict[str, tuple[Shown, ...]] = {
    "trades": (
        _time("executed_at", "Executed"),
        _text("symbol", "Symbol"),
        _worded("action", "Side", SIDES),
        _amount("quantity", "Quantity"),
        _amount("price", "Price"),
        _value("quantity", "price"),
        _money("fee", "Fee", "fee_currency"),
        _age("executed_at"),
        _text("status", "Status"),
        _text("strategy", "Strategy"),
        _text("exchange", "Exchange"),
        _text("order_id", "Order"),
    ),
    "positions": (
        _text("symbol", "Symbol"),
        _worded("side", "Side", SIDES),
        _text("status", "Status"),
        _amount("quantity", "Quantity"),
        _amount("entry_price", "Entry"),
        _amount("current_price", "Now"),
        _money("market_value", "Value"),
        _result("unrealized_pnl", "Unrealised P&L"),
        _result("realized_pnl", "Realised P&L"),
        _amount("leverage", "Leverage"),
        _time("opened_at", "Opened"),
        _age("opened_at"),
    ),
    "alerts": (
        _worded("severity", "Severity", SEVERITIES),
        _age("timestamp"),
        _resolved(),
        _text("message", "Message"),
        _text("alert_type", "Type"),
        _text("source", "Source"),
        _text("resolution", "Resolution"),
        _time("timestamp", "Raised"),
    ),
    "portfolios": (
        _time("timestamp", "Time"),
        _age("timestamp"),
        _money("total_value", "Total value"),
        _money("cash_balance", "Cash"),
        _text("source", "Source"),
    ),
    "trading_trades": (
        _time("entry_time", "Entry"),
        _time("exit_time", "Exit"),
        _text("symbol", "Symbol"),
        _worded("direction", "Side", SIDES),
        _amount("size", "Size"),
        _amount("entry_price", "Entry price"),
        _amount("exit_price", "Exit price"),
        _result("net_pnl", "Net P&L"),
        _percentage("pnl_percentage", "P&L"),
        _text("exit_reason", "Exit reason"),
        _text("strategy_name", "Strategy"),
        _text("status", "Status"),
    ),
}
