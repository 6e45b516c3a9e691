"""Failures on the client's side: psycopg, its pool, and SQLAlchemy."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import psycopg_pool
import pydantic
import sqlalchemy as sa
from psycopg import sql as compose
from psycopg.rows import class_row
from sqlalchemy import orm

from core.settings import DatabaseConfig
from tests.conformance.lab import Failure, Lab, raised

Provoked = tuple[BaseException | str, DatabaseConfig | None]


def using(act: Callable[[psycopg.Connection[Any]], Any], *before: str) -> Callable[[Lab], Provoked]:
    """What a session of psycopg says when something is done with it, in a transaction that is rolled back."""

    def provoke(lab: Lab) -> Provoked:
        session = lab.session()
        session.autocommit = False
        for statement in before:
            session.execute(statement)  # type: ignore[call-overload]
        exc = raised(lambda: act(session))
        with contextlib.suppress(psycopg.Error):
            session.rollback()
        return exc, None

    return provoke


def copying(rows: bytes, statement: str = "COPY wide FROM STDIN") -> Callable[[Lab], Provoked]:
    def act(session: psycopg.Connection[Any]) -> None:
        with session.cursor().copy(statement) as copy:  # type: ignore[arg-type]
            copy.write(rows)

    return using(act)


def pipeline(session: psycopg.Connection[Any]) -> None:
    with session.pipeline():
        session.execute("SELECT nope")
        session.execute("SELECT 1")


def copy_in_pipeline(session: psycopg.Connection[Any]) -> None:
    with session.pipeline(), session.cursor().copy("COPY wide TO STDOUT") as copy:
        copy.read()


def two_threads(session: psycopg.Connection[Any]) -> None:
    with session.cursor(name="c") as cursor:
        cursor.execute("SELECT 1")
        cursor.close()
        cursor.fetchone()


def pool(act: Callable[[psycopg_pool.ConnectionPool[Any]], Any], **options: Any) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        config = lab.config()
        given = {"min_size": 1, "max_size": 1, "timeout": 0.2} | options
        with psycopg_pool.ConnectionPool(kwargs=config.libpq_params(), open=True, **given) as made:
            made.wait(5)
            return raised(lambda: act(made)), None

    return provoke


def pool_empty(made: psycopg_pool.ConnectionPool[Any]) -> None:
    with made.connection(), made.connection():
        pass


def pool_queue(made: psycopg_pool.ConnectionPool[Any]) -> None:
    with made.connection():
        waiting = threading.Thread(target=lambda: raised(made.getconn))
        waiting.start()
        time.sleep(0.05)
        try:
            made.getconn()
        finally:
            waiting.join()


def pool_closed(made: psycopg_pool.ConnectionPool[Any]) -> None:
    made.close()
    made.getconn()


def pool_foreign(made: psycopg_pool.ConnectionPool[Any]) -> None:
    with made.connection() as connection:
        other = psycopg_pool.NullConnectionPool(open=False)
        other.putconn(connection)


class Base(orm.DeclarativeBase):
    """The models of these cases."""


class Coin(Base):
    __tablename__ = "coins"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(5), unique=True)
    trades: orm.Mapped[list[Deal]] = orm.relationship(back_populates="coin")


class Deal(Base):
    __tablename__ = "deals"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    coin_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("coins.id"))
    version: orm.Mapped[int] = orm.mapped_column(default=1)
    coin: orm.Mapped[Coin] = orm.relationship(back_populates="trades")
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - SQLAlchemy's own form


def mapped(act: Callable[[orm.Session], Any]) -> Callable[[Lab], Provoked]:
    """What SQLAlchemy's session says, on a SQLite file with two coins and a deal."""

    def provoke(lab: Lab) -> Provoked:
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            session.add_all([Coin(id=1, name="BTC", trades=[Deal(id=1)]), Coin(id=2, name="ETH")])
            session.commit()
            exc = raised(lambda: act(session))
            session.rollback()
        engine.dispose()
        return exc, None

    return provoke


def detached(session: orm.Session) -> Any:
    coin = session.get_one(Coin, 1)
    session.expunge(coin)
    return coin.trades


def stale(session: orm.Session) -> None:
    deal = session.get_one(Deal, 1)
    session.connection().exec_driver_sql("UPDATE deals SET version = 7")
    deal.coin_id = 2
    session.flush()


def deleted(session: orm.Session) -> Any:
    coin = session.get_one(Coin, 2)
    session.connection().exec_driver_sql("DELETE FROM coins WHERE id = 2")
    session.expire(coin)
    return coin.name


def pending_rollback(session: orm.Session) -> None:
    session.add(Coin(id=1, name="x"))
    raised(session.flush)
    session.execute(sa.select(Coin))


def result_twice(session: orm.Session) -> Any:
    result = session.execute(sa.select(Coin))
    result.close()
    return result.fetchall()


def rows_of_insert(session: orm.Session) -> Any:
    return session.connection().exec_driver_sql("UPDATE coins SET name = name").fetchall()


def engine(act: Callable[[sa.Engine], Any], **options: Any) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        made = sa.create_engine(lab.config(user="postgres", password=_secret(lab)).url("psycopg"), **options)
        exc = raised(lambda: act(made))
        made.dispose()
        return exc, None

    return provoke


def _secret(lab: Lab) -> Any:
    from pydantic import SecretStr

    return SecretStr(lab.server.password)


def invalidated(made: sa.Engine) -> None:
    """A connection that was ended under a transaction; its next use."""
    with made.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        with made.connect() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 1000)")
        raised(lambda: connection.exec_driver_sql("SELECT 1"))
        connection.exec_driver_sql("SELECT 1")


def run(made: sa.Engine, statement: Any, values: Any = None) -> None:
    with made.connect() as connection:
        connection.execute(statement, values)


def closed_connection(made: sa.Engine) -> None:
    connection = made.connect()
    connection.close()
    connection.exec_driver_sql("SELECT 1")


class Form(pydantic.BaseModel):
    port: int = pydantic.Field(ge=1, le=65535)


def plain(act: Callable[[], Any]) -> Callable[[Lab], Provoked]:
    return lambda lab: (raised(act), None)


S = compose.SQL
T = sa.text
FAILURES = [
    Failure("psycopg_few_parameters", using(lambda s: s.execute("SELECT %s, %s", [1])), "config.program"),
    Failure("psycopg_many_parameters", using(lambda s: s.execute("SELECT 1", [1])), "config.program"),
    Failure("psycopg_named_missing", using(lambda s: s.execute("SELECT %(a)s", {"b": 1})), "config.program"),
    Failure("psycopg_mixed", using(lambda s: s.execute("SELECT %s, %(a)s", {"a": 1})), "config.program"),
    Failure("psycopg_placeholder", using(lambda s: s.execute("SELECT 5 %d 2", [1])), "config.program"),
    Failure("psycopg_percent", using(lambda s: s.execute("SELECT 5 % 2", [1])), "config.program"),
    Failure("psycopg_no_form", using(lambda s: s.execute("SELECT %s", [object()])), "data.adapt"),
    Failure("psycopg_dict", using(lambda s: s.execute("SELECT %s", [{"a": 1}])), "data.adapt"),
    Failure("psycopg_mixed_list", using(lambda s: s.execute("SELECT %s", [[1, "x"]])), "data.adapt"),
    Failure("psycopg_several_statements", using(lambda s: s.execute("SELECT %s; SELECT 1", [1])), "schema.syntax"),
    Failure(
        "psycopg_65536", using(lambda s: s.execute("SELECT " + ",".join(["%s"] * 65536), [1] * 65536)), "data.columns"
    ),
    Failure("psycopg_no_result", using(lambda s: s.execute("SET work_mem = '8MB'").fetchone()), "config.program"),
    Failure(
        "psycopg_cursor_closed",
        using(lambda s: (c := s.cursor(), c.close(), c.execute("SELECT 1"))),
        "config.closed_here",
    ),
    Failure("psycopg_named_cursor_closed", using(two_threads), "config.closed_here"),
    Failure("psycopg_scroll", using(lambda s: s.execute("SELECT 1").scroll(9)), "config.program"),
    Failure("psycopg_autocommit_inside", using(lambda s: setattr(s, "autocommit", True), "SELECT 1"), "config.program"),
    Failure(
        "psycopg_isolation_inside", using(lambda s: setattr(s, "isolation_level", 2), "SELECT 1"), "config.program"
    ),
    Failure("psycopg_pipeline", using(pipeline), "schema.missing_column"),
    Failure("psycopg_copy_in_pipeline", using(copy_in_pipeline), "config.unsupported"),
    Failure("psycopg_copy_by_execute", using(lambda s: s.execute("COPY wide TO STDOUT")), "config.program"),
    Failure("psycopg_execute_in_copy", using(lambda s: s.cursor().copy("SELECT 1").__enter__()), "config.program"),
    Failure("psycopg_identifier", using(lambda s: s.execute(S("SELECT {}").format())), "config.program"),
    Failure("psycopg_loads_date", using(lambda s: s.execute("SELECT 'infinity'::date").fetchone()), "data.time"),
    Failure(
        "psycopg_loads_old_date", using(lambda s: s.execute("SELECT '0044-03-15 BC'::date").fetchone()), "data.time"
    ),
    Failure("psycopg_loads_time", using(lambda s: s.execute("SELECT '24:00'::time").fetchone()), "data.time"),
    Failure("psycopg_surrogate", using(lambda s: s.execute("SELECT %s", ["\ud800"])), "data.encoding"),
    Failure("psycopg_nul_query", using(lambda s: s.execute("SELECT '\0'")), "schema.syntax"),
    Failure("psycopg_big_integer", using(lambda s: s.execute("SELECT %s::bigint", [2**70])), "data.out_of_range"),
    Failure(
        "psycopg_nan",
        using(lambda s: s.execute("UPDATE trades SET px = %s", [Decimal("Infinity")])),
        "data.out_of_range",
    ),
    Failure(
        "psycopg_uuid",
        using(lambda s: s.execute("SELECT * FROM trades WHERE id = %s", [uuid.uuid4()])),
        "schema.type_mismatch",
    ),
    Failure(
        "psycopg_row_class",
        using(lambda s: s.cursor(row_factory=class_row(Form)).execute("SELECT 'x' AS port").fetchone()),
        "config.invalid",
    ),
    Failure("copy_columns", copying(b"1\t2\n"), "data.copy_format"),
    Failure("copy_few_columns", copying(b"1\n", "COPY trades FROM STDIN"), "data.copy_format"),
    Failure("copy_value", copying(b"x\n"), "schema.type_mismatch"),
    Failure("copy_encoding", copying(b"\xff\n", "COPY last_trades FROM STDIN"), "schema.definition"),
    Failure(
        "copy_bad_utf8", copying(b"9\t\xff\\xff\t1\tbuy\tx\t2026-01-01\n", "COPY trades FROM STDIN"), "data.encoding"
    ),
    Failure("copy_quote", copying(b'"1\n', "COPY wide FROM STDIN (FORMAT csv)"), "data.copy_format"),
    Failure("copy_binary", copying(b"no signature", "COPY wide FROM STDIN (FORMAT binary)"), "data.copy_format"),
    Failure("copy_header", copying(b"x\n1\n", "COPY wide FROM STDIN (FORMAT csv, HEADER match)"), "data.copy_format"),
    Failure("copy_option", copying(b"", "COPY wide FROM STDIN (FORMAT parquet)"), "data.malformed"),
    Failure("copy_duplicate", copying(b"1\tx\t\\N\t\\N\t\\N\t\\N\n", "COPY trades FROM STDIN"), "data.unique"),
    Failure("copy_null", copying(b"9\t\\N\t\\N\t\\N\t\\N\t\\N\n", "COPY trades FROM STDIN"), "data.not_null"),
    Failure("pool_timeout", pool(pool_empty), "resource.pool"),
    Failure("pool_queue", pool(pool_queue, max_waiting=1), "resource.pool"),
    Failure("pool_closed", pool(pool_closed), "config.closed_here"),
    Failure("pool_foreign", pool(pool_foreign), "config.program"),
    Failure("orm_detached", mapped(detached), "config.program"),
    Failure("orm_stale", mapped(stale), "data.stale"),
    Failure("orm_deleted", mapped(deleted), "data.stale"),
    Failure("orm_pending_rollback", mapped(pending_rollback), "config.aborted_transaction"),
    Failure("orm_none", mapped(lambda s: s.execute(sa.select(Coin).where(Coin.id == 9)).scalar_one()), "data.rows"),
    Failure("orm_several", mapped(lambda s: s.execute(sa.select(Coin)).scalar_one()), "data.rows"),
    Failure("orm_get_one", mapped(lambda s: s.get_one(Coin, 99)), "data.rows"),
    Failure("orm_result_closed", mapped(result_twice), "config.closed_here"),
    Failure("orm_no_rows_object", mapped(rows_of_insert), "config.closed_here"),
    Failure("orm_unmapped", mapped(lambda s: s.add(object())), "config.program"),  # type: ignore[arg-type]
    Failure("orm_attribute", mapped(lambda s: sa.select(Coin).filter_by(nope=1)), "config.program"),
    Failure("orm_argument", mapped(lambda s: s.execute("SELECT 1")), "config.program"),  # type: ignore[call-overload]
    Failure("orm_missing_value", mapped(lambda s: s.execute(T("SELECT :a"), {})), "config.program"),
    Failure("orm_wrong_type", mapped(lambda s: s.execute(sa.select(sa.literal("x", sa.DateTime))).all()), "data.adapt"),
    Failure("orm_unique", mapped(lambda s: (s.add(Coin(id=5, name="BTC")), s.flush())), "data.unique"),
    Failure(
        "orm_reflect",
        mapped(lambda s: sa.Table("nope", sa.MetaData(), autoload_with=s.connection())),
        "schema.missing_table",
    ),
    Failure("orm_no_transaction", mapped(lambda s: s.connection().begin()), "config.program"),
    Failure("engine_invalidated", engine(invalidated), "config.aborted_transaction"),
    Failure("engine_closed", engine(closed_connection), "config.closed_here"),
    Failure(
        "engine_wrapped_deadlock",
        engine(lambda e: run(e, T("DO $$BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END$$"))),
        "transient.deadlock",
    ),
    Failure("engine_missing_column", engine(lambda e: run(e, T("SELECT nope FROM pg_class"))), "schema.missing_column"),
    Failure("engine_adapt", engine(lambda e: run(e, T("SELECT :a"), {"a": object()})), "data.adapt"),
    Failure("engine_url", plain(lambda: sa.create_engine("postgresql+psycopg://u:p@h:port/db")), "config.malformed"),
    Failure("engine_empty_url", plain(lambda: sa.create_engine("")), "config.malformed"),
    Failure("engine_no_dialect", plain(lambda: sa.create_engine("oracle+nothing://u@h/d")), "config.driver"),
    Failure("engine_option", plain(lambda: sa.create_engine("sqlite://", pool_sise=3)), "config.program"),
    Failure("engine_isolation", engine(lambda e: e.connect(), isolation_level="SOMETIMES"), "config.program"),
]
