"""The order of a page's rows, and the places in it: keyset pagination over any sort."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import TradekeepError
from core.explore.filters import Condition, Dialect, Filter, joined, text_of
from core.explore.relation import BEGUN, Column, Relation

MOST_TIES = 32  # columns by which the rows of a view are told apart
LONGEST_TOKEN = 200_000
BEGINNING = 300  # characters of long values that an order goes by
TOO_LONG = "The values of this order are too long to turn the page. Sort by another column."
NO_TEXT = "The values of this order are no valid text, which no page can begin after. Sort by another column."


@dataclass(frozen=True)
class Sort:
    """By a column, ascending unless said. NULLs as the backend has them: PostgreSQL puts them highest."""

    column: str
    descending: bool = False


@dataclass(frozen=True)
class Part:
    """One term of the order: a column or the row's place. beginning: the same for values that are too long."""

    column: Column
    descending: bool
    sql: str
    beginning: str = ""

    @property
    def digested(self) -> bool:
        """Whether rows that differ beyond its beginning are told apart by a digest."""
        return bool(self.beginning) and self.column.exact


@dataclass(frozen=True)
class Order:
    """Terms that are asked for, then those that tell rows apart. unique: no two rows are equal in all of them.

    partitioned: whether the table is, so that a bound of the first term alone leaves out partitions. short: whether it
    goes by the beginnings of long values; a page that begins and ends at short ones has the same rows in both.
    """

    parts: tuple[Part, ...]
    unique: bool
    dialect: Dialect
    binding: str
    partitioned: bool = False
    short: bool = False

    def sql(self, *, backward: bool) -> str:
        """ORDER BY's list; "" for no order."""
        return ", ".join(f"{part.sql} {'DESC' if part.descending != backward else 'ASC'}" for part in self.parts)

    def zones(self, values: Sequence[Any] | None, *, backward: bool) -> list[Condition | None]:
        """The stretches of the order that lie beyond these values, to be read one after the other.

        Two where the first term may be NULL, so that each of them can be read from an index. None: no condition.
        Without a unique order the rows that equal the values are within.
        """
        if values is None or not self.parts:
            return [None]
        first = self.parts[0]
        if not first.column.nullable:
            return [self._beyond(values, backward, 0)]
        nulls_last = self._nulls_last(first, backward)
        null, some = Condition(f"{first.sql} IS NULL"), Condition(f"{first.sql} IS NOT NULL")
        if values[0] is None:
            rest = self._beyond(values, backward, 1) if len(values) > 1 else None
            here = joined([null, rest]) if rest else (Condition("1 = 0") if self.unique else null)
            return [here] if nulls_last else [here, some]
        here = self._beyond(values, backward, 0)
        return [here, null] if nulls_last else [here]

    def _nulls_last(self, part: Part, backward: bool) -> bool:
        ascending = part.descending == backward
        return ascending != self.dialect.sqlite  # PostgreSQL's NULL is greater than all, SQLite's less

    def _beyond(self, values: Sequence[Any], backward: bool, start: int) -> Condition:
        """What comes after the values, from the term `start` on; the terms before are equal, the first is not NULL."""
        parts = self.parts[start : len(values)]
        given = list(values[start:])
        strict = self.unique and len(values) == len(self.parts)
        strict = strict or len(values) < len(self.parts)  # a place between rows: those that are equal lie behind it
        same = len({part.descending for part in parts}) == 1
        plain = same and None not in given and not any(part.column.nullable for part in parts[1 if start == 0 else 0 :])
        comparison = "<" if parts[0].descending != backward else ">"
        mark = self.dialect.mark
        if plain:
            left = ", ".join(part.sql for part in parts)
            right = ", ".join([mark] * len(parts))
            equal = "" if strict else "="
            if len(parts) == 1:
                return Condition(f"{left} {comparison}{equal} {right}", tuple(given))
            beyond = Condition(f"({left}) {comparison}{equal} ({right})", tuple(given))
            if not self.partitioned:
                return beyond
            # The first term alone once more: partitions are left out by it, and not by the row's comparison. Elsewhere
            # it would do harm: PostgreSQL starts a backward scan at this bound, before all rows that equal it.
            return joined([Condition(f"{parts[0].sql} {comparison}= {mark}", (given[0],)), beyond])
        return self._step_by_step(parts, given, backward, strict, lead=start == 0)

    def _step_by_step(
        self, parts: Sequence[Part], given: Sequence[Any], backward: bool, strict: bool, *, lead: bool
    ) -> Condition:
        """Mixed directions and NULLs: equal up to a term, and beyond in that one, for each of them."""
        mark, equals, found = self.dialect.mark, list[Condition](), list[Condition]()
        for part, value in zip(parts, given, strict=True):
            beyond = self._beyond_one(part, value, backward)
            if beyond:
                found.append(joined([*equals, beyond]))
            equals.append(
                Condition(f"{part.sql} IS NULL") if value is None else Condition(f"{part.sql} = {mark}", (value,))
            )
        if not strict:
            found.append(joined(equals))
        if not found:
            return Condition("1 = 0")
        either = joined([Condition(f"({one.sql})", one.parameters) for one in found], by=" OR ")
        either = Condition(f"({either.sql})", either.parameters)
        if lead and given[0] is not None:  # a bound for the index
            comparison = "<=" if parts[0].descending != backward else ">="
            return joined([Condition(f"{parts[0].sql} {comparison} {mark}", (given[0],)), either])
        return either

    def _beyond_one(self, part: Part, value: Any, backward: bool) -> Condition | None:
        nulls_last = self._nulls_last(part, backward)
        if value is None:
            return None if nulls_last else Condition(f"{part.sql} IS NOT NULL")
        comparison = "<" if part.descending != backward else ">"
        beyond = Condition(f"{part.sql} {comparison} {self.dialect.mark}", (value,))
        if part.column.nullable and nulls_last and part is not self.parts[0]:
            return Condition(f"({beyond.sql} OR {part.sql} IS NULL)", beyond.parameters)
        return beyond


def order_of(of: Relation, sorts: Sequence[Sort], dialect: Dialect, *, short: bool = False) -> Order:
    """The order for these sorts, completed so that every row has its own place. Raises what Relation.column raises.

    short: by the beginnings of long values, where that can be.
    """
    asked: dict[str, Sort] = {}
    for sort in sorts:
        of.column(sort.column)
        asked.setdefault(sort.column, sort)
    chosen = list(asked.values())
    descending = chosen[-1].descending if chosen else False
    ties = _ties(of, chosen)
    parts = [_part(of, sort, dialect) for sort in chosen + ties]
    if of.place:
        parts += _place(of, descending, dialect)
    elif not of.key and chosen:
        parts += _apart(of, chosen, descending, dialect)
    unique = bool(of.key or of.place)
    if short:
        parts = _shortened(parts, dialect, unique=unique)
    listed = [[[sort.column, sort.descending] for sort in some] for some in (chosen, ties)]
    text = json.dumps([of.schema, of.name, *listed, of.place])
    return Order(tuple(parts), unique, dialect, _hash(text), of.kind == "partitioned table", short)


def _part(of: Relation, sort: Sort, dialect: Dialect) -> Part:
    column = of.column(sort.column)
    sql = dialect.comparable(column)
    return Part(column, sort.descending, sql, "" if column.name in of.key else _beginning(column, sql, dialect))


def _beginning(column: Column, sql: str, dialect: Dialect) -> str:
    """The term for the first characters of a column of any length; "" where its order is not that of a text."""
    if dialect.sqlite or not column.wide:
        return ""
    if column.type == "bytea":
        return f"substring({sql} from 1 for {BEGINNING})"
    return f"left({sql}, {BEGINNING})" if column.type in BEGUN or not column.ordered else ""


def _place(of: Relation, descending: bool, dialect: Dialect) -> list[Part]:
    if of.place != "rowid":
        types = {"tableoid": "oid", "ctid": "tid"}
        return [
            Part(Column(name, types[name], nullable=False), descending, f"t.{name}") for name in of.place.split(", ")
        ]
    names = {name.lower() for name in of.by_name}
    name = next((name for name in ("rowid", "_rowid_", "oid") if name not in names), "rowid")
    return [Part(Column(name, "integer", nullable=False), descending, f"t.{name}")]


def _apart(of: Relation, sorts: Sequence[Sort], descending: bool, dialect: Dialect) -> list[Part]:
    """The rest of the order of a view: it must tell apart what differs as text, or equal rows could not be counted."""
    named = {sort.column for sort in sorts}
    others = [column for column in of.readable if column.name not in named][:MOST_TIES]
    parts = [part for column in others for part in _text(column, descending, dialect)]
    again = [of.column(sort.column) for sort in sorts]
    found = [
        part for column in again if not column.exact or dialect.sqlite for part in _text(column, descending, dialect)
    ]
    return parts + found


def _text(column: Column, descending: bool, dialect: Dialect) -> list[Part]:
    """Terms in which values are equal that are the same text."""
    name = dialect.column(column.name)
    if dialect.sqlite:  # 1 and 1.0 are equal, and only a column without a type holds both
        kind = Part(Column(column.name, "", nullable=False), descending, f"typeof({name})")
        binary = Part(column, descending, f"{name} COLLATE BINARY")
        return [binary] if column.type and "blob" not in column.type else [binary, kind]
    if column.exact and column.ordered:
        return [Part(column, descending, name, _beginning(column, name, dialect))]
    text = Column(column.name, "text", column.nullable, wide=column.wide)
    # The cast of a blank-padded text leaves out its blanks, which JSON has.
    as_text = f"CAST(to_json({name}) AS text)" if column.type == "character" else dialect.as_text(column)
    sql = f'{as_text} COLLATE "C"'
    return [Part(text, descending, sql, _beginning(text, sql, dialect))]


def _shortened(parts: Sequence[Part], dialect: Dialect, *, unique: bool) -> list[Part]:
    """The parts by their beginnings; at the end digests, which tell long values apart where nothing else does."""
    short = [
        replace(part, sql=part.beginning, beginning="", column=replace(part.column, wide=False))
        if part.beginning
        else part
        for part in parts
    ]
    digests = [
        Part(Column(part.column.name, "text", part.column.nullable), part.descending, f"md5(CAST({part.sql} AS text))")
        for part in parts
        if part.digested
    ]
    return short if unique else short + digests


def _ties(of: Relation, sorts: Sequence[Sort]) -> list[Sort]:
    """What follows the sorts: the rest of an index that begins with them, then the rest of the key."""
    descending = sorts[-1].descending if sorts else False
    named = {sort.column for sort in sorts}
    if set(of.key) <= named:
        return []
    found = _rest_of_index(of, sorts) if sorts else []
    named |= {sort.column for sort in found}
    return found + [
        Sort(name, (found or [Sort("", descending)])[-1].descending) for name in of.key if name not in named
    ]


def _rest_of_index(of: Relation, sorts: Sequence[Sort]) -> list[Sort]:
    for index in of.indexes:
        begin = index.parts[: len(sorts)]
        if [name for name, _ in begin] != [sort.column for sort in sorts]:
            continue
        turned = {(down != sort.descending) for (_, down), sort in zip(begin, sorts, strict=True)}
        rest = index.parts[len(sorts) :]
        if len(turned) == 1 and all(name in of.key for name, _ in rest):
            return [Sort(name, down != turned.copy().pop()) for name, down in rest]
    return []


@dataclass(frozen=True)
class Token:
    """A place in an order: the values there, and how many rows equal to them were passed (where rows may be equal).

    short: of an order by the beginnings of long values. refused: why no page can begin there, "" if one can.
    """

    values: tuple[Any, ...]
    skip: int = 0
    of_page: bool = True
    short: bool = False
    refused: str = ""

    def write(self, order: Order, filters: str) -> str:
        """The opaque text, bound to table, sort and filters; not to filters where it was made from key values."""
        body: dict[str, Any] = {"o": order.binding, "k": [_packed(value) for value in self.values]}
        if self.skip:
            body["s"] = self.skip
        if self.of_page:
            body["f"] = filters
        if order.short:
            body["b"] = 1
        text = _encoded(body)
        if self.refused or len(text) > LONGEST_TOKEN:
            return _encoded({"no": self.refused or TOO_LONG})
        return text


def _encoded(body: dict[str, Any]) -> str:
    raw = json.dumps(body, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def opened(text: str) -> tuple[dict[str, Any], Token]:
    """What a token holds, not yet compared with an order. Raises data.token."""
    try:
        if len(text) > LONGEST_TOKEN:
            raise ValueError
        body = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        refused = body.get("no") in (TOO_LONG, NO_TEXT)
        values = () if refused else tuple(_unpacked(value) for value in body["k"])
        found = Token(values, int(body.get("s", 0)), "f" in body, body.get("b") == 1)
    except (
        ValueError, TypeError, KeyError, AttributeError, OverflowError, binascii.Error, RecursionError, TradekeepError
    ):  # fmt: skip
        raise TradekeepError("data.token") from None
    if refused:
        raise TradekeepError("data.token", body["no"])
    return body, found


def placed(body: dict[str, Any], found: Token, order: Order, filters: str) -> Token:
    """The place that a token names. Raises data.token for one of another table, order or filter, and for no token."""
    right = body.get("o") == order.binding and body.get("f", filters) == filters
    if not right or not 0 <= found.skip < 2**62 or len(found.values) > len(order.parts):
        raise TradekeepError("data.token")
    if order.parts and not found.values:
        raise TradekeepError("data.token")
    for part, value in zip(order.parts, found.values, strict=False):
        if value is None and not part.column.nullable:
            raise TradekeepError("data.token")
        if value is not None and not order.dialect.sqlite and not isinstance(value, str):
            raise TradekeepError("data.token")
    return found


def by_beginnings(place: Token, order: Order) -> Token:
    """A place of an order in the same one by beginnings; its values are short."""
    if order.unique or len(place.values) < len(order.parts):
        return place
    digests = [
        None if value is None else hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
        for part, value in zip(order.parts, place.values, strict=True)
        if part.digested
    ]
    return replace(place, values=(*place.values, *digests))


def filters_binding(filters: Sequence[Filter], search: str | None) -> str:
    """What a token keeps of the filters, so that it fits no others."""
    listed = [[one.column, one.op, _bound(one.value)] for one in filters]
    return _hash(json.dumps([listed, (search or "").strip()]))


def _bound(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_bound(one) for one in value]
    return None if value is None else text_of(value)


def _packed(value: Any) -> Any:
    return {"b": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["b"], validate=True)
    if value is None or isinstance(value, str | float):
        if isinstance(value, str):
            text_of(value)
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    raise ValueError


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()
