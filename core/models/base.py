"""The base of all models: naming, and the types and columns that every area uses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    Sequence,
    Table,
    Text,
    TypeDecorator,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column
from sqlalchemy.schema import DDL, CreateSequence
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from core.errors import TradekeepError
from core.models.spelled import spelled

NAMING = {
    "pk": "pk_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


@spelled("now()", "strftime('%Y-%m-%d %H:%M:%f000', 'now')")
class Now(FunctionElement[datetime]):
    """The server's clock, on SQLite as UTC text with six decimals, so that it sorts with what `UtcTime` writes."""

    inherit_cache = True


class NextId(FunctionElement[int]):
    """The next number of a table's sequence.

    SQLite has neither sequences nor row ids within a composite key, and its max(id) + 1 would give the same number
    to all rows of one statement; there it is a random number of 53 bits, which JavaScript still shows exactly.
    """

    inherit_cache = False

    def __init__(self, sequence: Sequence) -> None:
        super().__init__()
        self.sequence = sequence


@compiles(NextId)
def _next_id(element: NextId, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.sequence.next_value(), **kw)


@compiles(NextId, "sqlite")
def _next_id_sqlite(element: NextId, compiler: SQLCompiler, **kw: Any) -> str:
    return "random() & 9007199254740991"


class UtcTime(TypeDecorator[datetime]):
    """timestamptz that takes only aware times and gives aware UTC; on SQLite UTC text that sorts.

    Raises data.value for a time without zone.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None or value.utcoffset() is None:
            raise TradekeepError("data.value", f"The time {value.isoformat(' ')} has no time zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Exact(TypeDecorator[Decimal]):
    """numeric(precision, scale) as Decimal; SQLite keeps 15 digits of it.

    Raises data.value for what is not a finite number: PostgreSQL's NaN is greater than every number and would pass
    the checks.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Numeric(self.precision, self.scale, asdecimal=False))
        return dialect.type_descriptor(Numeric(self.precision, self.scale))

    def process_bind_param(self, value: Decimal | float | str | None, dialect: Dialect) -> Decimal | float | None:
        if value is None:
            return None
        try:
            number = value if isinstance(value, Decimal) else Decimal(str(value))
        except InvalidOperation:
            raise TradekeepError("data.value", f"{value!r} is not a number.") from None
        if not number.is_finite():
            raise TradekeepError("data.value", f"{value} is not a finite number.")
        return float(number) if dialect.name == "sqlite" else number

    def process_result_value(self, value: Decimal | float | None, dialect: Dialect) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        return Decimal(f"{value:.15g}").quantize(Decimal(1).scaleb(-self.scale))


class _Checked(TypeDecorator[Any]):
    """Text with a rule; `Base` adds the rule to the table as a named CHECK."""

    impl = Text
    cache_ok = True

    def rule(self, column: str) -> str:
        raise NotImplementedError


class LimitedText(_Checked):
    """Text of at most `longest` characters."""

    cache_ok = True

    def __init__(self, longest: int) -> None:
        super().__init__()
        self.longest = longest

    def rule(self, column: str) -> str:
        return f'length("{column}") <= {self.longest}'


class Choice(_Checked):
    """Text that is one of the values of a StrEnum; read back as its member."""

    cache_ok = True

    def __init__(self, choices: type[StrEnum]) -> None:
        super().__init__()
        self.choices = choices

    def rule(self, column: str) -> str:
        return f'"{column}" IN ({", ".join(repr(choice.value) for choice in self.choices)})'

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        # A database that was made by hand may lack the CHECK: an unknown value is shown, not refused.
        return self.choices(value) if value is not None and value in self.choices.__members__.values() else value


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself
Json = JSONB(none_as_null=True).with_variant(JSON(none_as_null=True), "sqlite")


@dataclass(frozen=True)
class IndexOn:
    """An index in a model's `__table_args__`: columns by name, "executed_at desc" for descending ones."""

    columns: tuple[str, ...]
    name: str | None = None
    unique: bool = False
    where: str | None = None

    def create(self, table: Table) -> Index:
        parts = [column.partition(" ") for column in self.columns]
        where = None if self.where is None else text(self.where)
        return Index(
            self.name,
            *(table.c[name].desc() if order == "desc" else table.c[name] for name, _, order in parts),
            unique=self.unique,
            postgresql_where=where,
            sqlite_where=where,
        )


def index(*columns: str, name: str | None = None, unique: bool = False, where: str | None = None) -> IndexOn:
    """An index, named by the convention unless a name is given."""
    return IndexOn(columns, name, unique, where)


class Base(DeclarativeBase):
    """A model's docstring is its table's comment; `info` says what the grants need to know.

    Table info: append_only (the runtime role may insert and read, never change). Column info: secret (the viewer
    role may not read it).
    """

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: UtcTime,
        Decimal: Exact(28, 10),
        dict[str, Any]: Json,
    }
    # Server defaults come back with the INSERT or UPDATE: an expired attribute would be loaded on access.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # the base class declares it without ClassVar

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *args: Any, **kw: Any) -> Table:
        columns = [arg for arg in args if isinstance(arg, Column)]
        checks = [
            CheckConstraint(column.type.rule(column.name), name=column.name)
            for column in columns
            if isinstance(column.type, _Checked)
        ]
        items = [arg for arg in args if not isinstance(arg, IndexOn)]
        table = Table(name, metadata, *items, *checks, comment=cls.__doc__, **kw)
        for wanted in args:
            if isinstance(wanted, IndexOn):
                wanted.create(table)
        for column in columns:
            default = getattr(column.server_default, "arg", None)
            if isinstance(default, NextId):
                create = CreateSequence(default.sequence).execute_if(dialect="postgresql")
                own = DDL(f"ALTER SEQUENCE {default.sequence.name} OWNED BY {name}.{column.name}")
                event.listen(table, "before_create", create)
                event.listen(table, "after_create", own.execute_if(dialect="postgresql"))
        return table


def key() -> MappedColumn[int]:
    """The single key `id`: bigint with the default of a sequence."""
    return mapped_column(BigId, primary_key=True)


def part_key(table: str) -> MappedColumn[int]:
    """`id` as the last part of a composite key, with a sequence that the column owns.

    SQLAlchemy gives a sequence only to a single key, so it is explicit here.
    """
    return mapped_column(BigId, server_default=NextId(Sequence(f"{table}_id_seq")))


def created() -> MappedColumn[datetime]:
    """The moment of the INSERT."""
    return mapped_column(UtcTime, server_default=Now())


def updated() -> MappedColumn[datetime]:
    """The moment of the last change that went through the models."""
    return mapped_column(UtcTime, server_default=Now(), onupdate=Now())


def reference(target: str, on_delete: str, **options: Any) -> MappedColumn[Any]:
    """A foreign key to `target.id`; on_delete is cascade, set null or restrict."""
    return mapped_column(BigInteger, ForeignKey(f"{target}.id", ondelete=on_delete.upper()), **options)
