"""Which column of a file goes where: by name, by the other names that exchanges and bots use, and as somebody says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import TradekeepError
from core.repositories.bulk import Column, Target
from core.repositories.bulk.target import Foreign

# Other names of our columns, in files of exchanges and bots: the first that a file has is taken.
_OPENED = ("opendate", "opentime", "openedat", "dateopened", "openat", "entrytime", "entrydate", "enteredat", "opened",
           "opents", "openedts", "entryts", "opentimestamp", "entrytimestamp")  # fmt: skip
_CLOSED = ("closedate", "closetime", "closedat", "dateclosed", "closeat", "exittime", "exitdate", "exitedat", "closed",
           "closets", "closedts", "exitts", "closetimestamp", "exittimestamp")  # fmt: skip
_GAIN = ("profit", "pnl", "closeprofitabs", "profitabs", "closedpnl", "closedpl", "netprofit", "profitloss")
_SIDES = ("side", "direction", "positionside", "positiontype", "tradedirection")
_MANY = (
    "qty", "size", "executed", "executedqty", "filled", "filledqty", "executedamount", "amount", "vol", "volume",
    "baseamount", "filledamount", "orderamount", "orderqty", "quantitytransacted", "contracts",
)  # fmt: skip
ALSO = {
    "symbol": (
        "pair", "tradingpair", "spotpairs", "market", "ticker", "instrument", "contract", "contracts", "product",
        "productid", "coin",
    ),
    "action": ("side", "type", "tradetype", "buysell", "direction"),
    "quantity": _MANY,
    "price": (
        "rate", "px", "avgprice", "averageprice", "avgtradingprice", "fillprice", "filledprice", "executionprice",
        "executedprice", "avgfilledprice", "orderprice",
    ),
    "fee": ("commission", "fees", "feepaid", "tradefee", "tradingfee"),
    "commission": ("fee", "fees", "feepaid", "tradefee", "tradingfee"),
    "fee_currency": ("feecoin", "feeasset", "commissionasset", "feecurrency"),
    "currency": (
        "quote", "ccy", "quoteasset", "quotecurrency", "pricecurrency", "pricefeetotalunit", "stakecurrency",
        "settlecoin",
    ),
    "executed_at": (
        "time", "timestamp", "date", "datetime", "dateutc", "timeutc", "timestamputc", "executiontime", "tradetime",
        "filledtime", "ts", "createdat", "createtime", "t",
    ),
    "order_id": ("orderid", "oid", "orderno", "order", "ordernumber", "txid", "tradeid", "ordertxid"),
    "exchange": ("venue", "connector", "connectorname"),
    "open_time": ("time", "timestamp", "date", "datetime", "t", "ts", "opentime"),
    "open": ("o",), "high": ("h",), "low": ("l",), "close": ("c",), "volume": ("v", "vol", "basevolume"),
    "timestamp": ("time", "date", "datetime", "recordedat", "ts"),
    "total_value": ("equity", "value", "balance", "total", "nav"),
    "timeframe": ("interval", "granularity"), "interval": ("timeframe", "granularity"),
    "entry_time": _OPENED, "opened_at": _OPENED, "exit_time": _CLOSED, "closed_at": _CLOSED,
    "entry_price": ("openrate", "openprice", "avgentryprice", "priceopen"),
    "exit_price": ("closerate", "closeprice", "avgexitprice", "priceclose"),
    "side": _SIDES, "direction": _SIDES,
    "net_pnl": _GAIN, "realized_pnl": (*_GAIN, "netpnl"),
    "pnl_percentage": ("profitpct", "profitpercent", "pnlpct", "pnlpercent", "returnpct"),
    "size": ("amount", "quantity", *_MANY), "strategy_name": ("strategy",),
    "exit_reason": ("closereason", "sellreason"),
}  # fmt: skip
# Other names of a row's one time, taken only where a single column has one of them; the likelier ones first.
_TIMES = (
    frozenset({"ts", "time", "timestamp", "date", "datetime", "unixtime", "unix", "epoch"}),
    frozenset({"executed", "executedat", "created", "createdat", "tradetime"}),
)
_UNIT = re.compile(r"(ms|millis|milliseconds|us|ns|s|sec|secs|seconds|utc|unix|epoch)$")
# What every row of ours has: a file's "created at" is taken for it only where nothing else needs that.
KEPT = ("created_at", "updated_at")
NO_INTERVAL = "?"


@dataclass(frozen=True)
class Usual:
    """What the rows of a file have in a column that it lacks, unless somebody says otherwise: value, or otherwise
    where the column `by` is empty. why: in words."""

    column: str
    value: str
    why: str
    by: str | None = None
    otherwise: str = ""

    @property
    def words(self) -> str:
        """What the rows get, in words."""
        return f"{self.value} with {self.by}, else {self.otherwise}" if self.by else self.value


def guessed(names: Sequence[str], target: Target) -> dict[str, str | None]:
    """For each column of the file the table's column it seems to belong to, None where there is none.

    A number that the database gives its rows itself is left out, unless it is a part of a longer key: another
    database's numbers would overwrite the rows that have them here.
    """
    open_columns = {_bare(column.name): column for column in target.columns if _taken(column, target)}
    found: dict[str, str | None] = dict.fromkeys(names)
    free = dict(open_columns)
    kept = {bare: free.pop(bare) for bare in map(_bare, KEPT) if bare in free}
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
    _time(found, [one for one in free.values() if "time" in ALSO.get(one.name, ())])
    for name in names:
        if found[name] is None and (column := kept.pop(_bare(name), None)) is not None:
            found[name] = column.name
    return found


def _time(found: dict[str, str | None], free: Sequence[Column]) -> None:
    """Map the column that can only be the row's time, where the table has one such column and nothing is it yet.

    The ends of a round trip have names of their own in `ALSO`, without "time" among them: which end is meant by a
    bare "ts", nobody can tell.
    """
    if len(free) != 1:
        return
    for group in _TIMES:
        meant = [name for name, to in found.items() if to is None and {_bare(name), _stem(name)} & group]
        if meant:
            if len(meant) == 1:
                found[meant[0]] = free[0].name
            return
    executed = next((name for name, to in found.items() if to == "quantity" and _bare(name) == "executed"), None)
    many = next((name for name, to in found.items() if to is None and _bare(name) in _MANY), None)
    if executed and many:  # what was executed is another column's, so this says when
        found[executed], found[many] = free[0].name, "quantity"


def _stem(name: str) -> str:
    """A bare name without the unit or zone at its end."""
    return _UNIT.sub("", _bare(name))


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _taken(column: Column, target: Target) -> bool:
    if column.given:
        return False
    return not column.numbered or any(column.name in key.columns and len(key.columns) > 1 for key in target.keys)


def chosen(
    names: Sequence[str], target: Target, mapping: Mapping[str, str | None] | None, fixed: Iterable[str]
) -> dict[str, str]:
    """File column -> table column, as guessed and as somebody says; `fixed` columns have a value without the file.

    mapping: file column -> table column, None or "" to leave it out; the other way round is understood where only
    that can be meant. Raises data.mapping with what is wrong.
    """
    given, fixed = dict(mapping or {}), tuple(fixed)
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
        bot = " Say whose rows they are by a bot's name." if "bot_id" in missing and of_bots(target) else ""
        raise _wrong(f"The file has nothing for {', '.join(missing)}, which {target.name} needs.{bot}")
    if not have:
        raise _wrong(f"No column of the file belongs to {target.name}.")
    return pairs


def wanting(target: Target, have: Iterable[str]) -> list[str]:
    """The columns that a row needs and nothing is given for."""
    have = set(have)
    given = {*have, *empties(target), *(one.column for one in usual(target, have))}
    return [column.name for column in target.columns if column.needed and column.name not in given]


def empties(target: Target) -> dict[str, str]:
    """What a row has in columns that need a JSON text where nothing is given, as with our own models."""
    return {column.name: "{}" for column in target.columns if column.needed and column.kind in ("json", "jsonb")}


def usual(target: Target, have: Iterable[str], bot_type: str | None = None) -> list[Usual]:
    """What rows have in columns that the file lacks: `have` are those that it, or somebody, gives a value.
    bot_type: what the bot trades with whose rows they are.

    An execution with its time and price was filled, whatever the table's default for new orders is; what has an exit
    is closed.
    """
    have = set(have)
    lacking = {column.name: column for column in target.columns if column.name not in have}
    found = []
    choices = lacking["status"].choices if "status" in lacking else ()
    if "FILLED" in choices and {"executed_at", "price"} <= have:
        found.append(Usual("status", "FILLED", "rows with a time and a price of execution are fills"))
    exit_time = next((name for name in ("exit_time", "closed_at") if name in have), None)
    if {"OPEN", "CLOSED"} <= set(choices) and exit_time:
        found.append(Usual("status", "CLOSED", "what has an exit is closed", exit_time, "OPEN"))
    if of_bots(target):
        if "trade_type" in lacking and lacking["trade_type"].needed:
            why = "as its bot" if bot_type else "real money, unless somebody says otherwise"
            found.append(Usual("trade_type", bot_type or "live", why))
        if "interval" in lacking and lacking["interval"].needed:
            found.append(Usual("interval", NO_INTERVAL, "the candles' timeframe is not known"))
    return found


def of_bots(target: Target) -> bool:
    """Whether each row of the table belongs to a bot."""
    return "bot_id" in target.by_name and any(is_bots(one) for one in target.foreign)


def is_bots(foreign: Foreign) -> bool:
    """Whether the foreign key names a bot."""
    parent = foreign.parent.rpartition(".")[2].strip('"')
    return foreign.columns == ("bot_id",) and parent == "trading_bots"


def _wrong(message: str) -> TradekeepError:
    return TradekeepError("data.mapping", message)
