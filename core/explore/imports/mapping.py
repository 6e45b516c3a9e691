"""Which column of a file goes where: by name, by the other names that exchanges and bots use, and as somebody says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from core.errors import TradekeepError
from core.repositories.bulk import Column, Target

# Other names of our columns, in files of exchanges and bots: the first that a file has is taken.
ALSO = {
    "symbol": ("pair", "tradingpair", "market", "ticker", "instrument", "coin", "productid"),
    "action": ("side", "type", "tradetype", "buysell", "direction"),
    "quantity": ("amount", "qty", "size", "executed", "filled", "volume", "baseamount", "filledamount"),
    "price": ("rate", "avgprice", "averageprice", "fillprice", "executionprice"),
    "fee": ("commission", "fees", "feepaid", "tradefee"),
    "fee_currency": ("feecoin", "feeasset", "commissionasset", "feecurrency"),
    "currency": ("quote", "quoteasset", "quotecurrency", "pricecurrency", "stakecurrency"),
    "executed_at": ("time", "timestamp", "date", "datetime", "dateutc", "executiontime", "tradetime", "createdat", "t"),
    "order_id": ("orderid", "orderno", "order", "ordernumber", "txid", "tradeid"),
    "exchange": ("venue", "connector", "connectorname"),
    "open_time": ("time", "timestamp", "date", "datetime", "t", "opentime"),
    "open": ("o",), "high": ("h",), "low": ("l",), "close": ("c",), "volume": ("v", "vol", "basevolume"),
    "timestamp": ("time", "date", "datetime", "recordedat"),
    "total_value": ("equity", "value", "balance", "total", "nav"),
    "timeframe": ("interval", "granularity"),
    "entry_time": ("opendate", "opentime", "openedat"), "exit_time": ("closedate", "closetime", "closedat"),
    "entry_price": ("openrate", "openprice"), "exit_price": ("closerate", "closeprice"),
    "net_pnl": ("profit", "pnl", "closeprofitabs", "profitabs"), "size": ("amount", "qty", "quantity"),
}  # fmt: skip


def guessed(names: Sequence[str], target: Target) -> dict[str, str | None]:
    """For each column of the file the table's column it seems to belong to, None where there is none.

    A number that the database gives its rows itself is left out, unless it is a part of a longer key: another
    database's numbers would overwrite the rows that have them here.
    """
    open_columns = {_bare(column.name): column for column in target.columns if _taken(column, target)}
    found: dict[str, str | None] = dict.fromkeys(names)
    free = dict(open_columns)
    for name in names:
        if (column := free.pop(_bare(name), None)) is not None:
            found[name] = column.name
    for bare, column in list(free.items()):
        for other in ALSO.get(column.name, ()):
            match = next((name for name in names if found[name] is None and _bare(name) == other), None)
            if match is not None:
                found[match] = column.name
                free.pop(bare)
                break
    return found


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _taken(column: Column, target: Target) -> bool:
    if column.given:
        return False
    return not column.numbered or any(column.name in key.columns and len(key.columns) > 1 for key in target.keys)


def chosen(
    names: Sequence[str], target: Target, mapping: Mapping[str, str | None] | None, fixed: Mapping[str, str]
) -> dict[str, str]:
    """File column -> table column, as guessed and as somebody says; `fixed` gives columns one value.

    mapping: file column -> table column, None or "" to leave it out; the other way round is understood where only
    that can be meant. Raises data.mapping with what is wrong.
    """
    given = dict(mapping or {})
    known = set(names)
    straight = known.issuperset(given) and all(to in target.by_name for to in given.values() if to)
    if given and not straight and all(name in target.by_name and to in known for name, to in given.items()):
        given = {str(to): name for name, to in given.items()}
    for name, to in [*given.items(), *((None, column) for column in fixed)]:
        if name is not None and name not in known:
            raise _wrong(f"The file has no column {name!r}; it has {', '.join(names[:20])}.")
        if to and to not in target.by_name:
            raise _wrong(f"{target.name} has no column {to!r}; it has {', '.join(target.by_name)}.")
        if to and target.by_name[to].given:
            raise _wrong(f"{target.name}.{to} is computed by the database; nothing can be written to it.")
    said = {to for to in given.values() if to} | set(fixed)
    whole = {name: to for name, to in guessed(names, target).items() if to not in said and name not in given}
    whole |= given
    pairs = {name: to for name in names if (to := whole.get(name))}
    twice = sorted(
        {to for to in pairs.values() if list(pairs.values()).count(to) > 1} | set(fixed) & set(pairs.values())
    )
    if twice:
        raise _wrong(f"More than one source is given for {', '.join(twice)}.")
    have = set(pairs.values()) | set(fixed)
    if missing := wanting(target, have):
        raise _wrong(f"The file has nothing for {', '.join(missing)}, which {target.name} needs.")
    if not have:
        raise _wrong(f"No column of the file belongs to {target.name}.")
    return pairs


def wanting(target: Target, have: Iterable[str]) -> list[str]:
    """The columns that a row needs and nothing is given for."""
    given = {*have, *empties(target)}
    return [column.name for column in target.columns if column.needed and column.name not in given]


def empties(target: Target) -> dict[str, str]:
    """What a row has in columns that need a JSON text where nothing is given, as with our own models."""
    return {column.name: "{}" for column in target.columns if column.needed and column.kind in ("json", "jsonb")}


def _wrong(message: str) -> TradekeepError:
    return TradekeepError("data.mapping", message)
