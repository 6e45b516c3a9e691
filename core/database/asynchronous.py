"""Database for asyncio callers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, ClassVar

import psycopg
import sqlalchemy as sa
from psycopg.errors import _WaitTimeout  # public only as the timeout argument of AsyncConnection.wait
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from core.database.capabilities import Capabilities, capabilities
from core.database.connection import DRIVER_ERRORS, TO_THE_POOL, Deadlines, connect_parameters, preflight
from core.database.database import Base, pin_schema
from core.errors import TradekeepError


class _Connection(Deadlines, psycopg.AsyncConnection[Any]):
    """An asyncio connection whose every wait ends."""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        limit = self.allowed_s(timeout)
        try:
            return await super().wait(gen, interval, limit)
        except _WaitTimeout:
            if timeout is not None:
                raise
            raise self.overdue(limit) from None


class AsyncDatabase(Base):
    """Database for asyncio callers: the same limits, deadlines, translation and breakers; PostgreSQL only."""

    backends: ClassVar[tuple[str, ...]] = ("postgresql",)

    @cached_property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, as Database.engine."""
        options = self.pool_options()
        engine = create_async_engine("postgresql+psycopg://", async_creator=self._new_connection, **options)
        pin_schema(engine.sync_engine)

        @sa.event.listens_for(engine.sync_engine, "checkin")
        def returned(connection: Any, _record: Any) -> None:
            if connection is not None:
                self.release(connection.driver_connection)

        return engine

    async def _new_connection(self) -> _Connection:
        await asyncio.to_thread(preflight, self.config)
        parameters = connect_parameters(self.config, self.limits)
        connection = await _Connection.connect(**parameters, **TO_THE_POOL)
        self.__dict__.pop("_capabilities", None)
        return connection

    async def _translated(self, exc: BaseException, begin: float, *, broken: bool) -> TradekeepError:
        """As Base.translated, which may ask the port and so must not hold up the loop."""
        return await asyncio.to_thread(self.translated, exc, begin, broken=broken)

    @asynccontextmanager
    async def connect(self, *, statement_timeout_s: float | None = -1) -> AsyncIterator[AsyncConnection]:
        """An AsyncConnection in one transaction, as Database.connect."""
        self.check()
        begin = time.perf_counter()
        try:
            connection, driver = await self._opened(self.timeout_s(statement_timeout_s))
        except (*DRIVER_ERRORS, OSError) as exc:
            raise (await self._translated(exc, begin, broken=True)) from None
        try:
            self.answered()
            yield connection
            await connection.commit()
        except DRIVER_ERRORS as exc:
            raise (await self._translated(exc, begin, broken=driver.closed)) from None
        finally:
            await connection.close()

    async def _opened(self, timeout_s: float | None) -> tuple[AsyncConnection, _Connection]:
        """A connection in an open transaction, as Database._opened."""
        while True:
            connection = await self.engine.connect()
            driver: Any = (await connection.get_raw_connection()).driver_connection
            if not driver.kept:
                self.bind(driver, timeout_s, None)
            try:
                await connection.exec_driver_sql(self.opening(timeout_s) + driver.styles)
            except BaseException:
                await connection.close()
                if driver.kept and driver.closed:
                    continue
                raise
            self.bind(driver, timeout_s, None)
            return connection, driver

    @asynccontextmanager
    async def begin(self, *, statement_timeout_s: float | None = -1) -> AsyncIterator[AsyncSession]:
        """An AsyncSession in one transaction, as Database.begin."""
        async with (
            self.connect(statement_timeout_s=statement_timeout_s) as connection,
            AsyncSession(connection, expire_on_commit=False) as session,
        ):
            yield session
            await session.commit()

    async def ping(self) -> float:
        """How long `SELECT 1` takes, in ms. Raises TradekeepError."""
        begin = time.perf_counter()
        async with self.connect(statement_timeout_s=self.ping_timeout_s()) as connection:
            await connection.exec_driver_sql("SELECT 1")
        return (time.perf_counter() - begin) * 1000

    @property
    def capabilities(self) -> Awaitable[Capabilities]:
        """What server and role can do: `await database.capabilities`."""
        return self._read_capabilities()

    async def _read_capabilities(self) -> Capabilities:
        known: Capabilities | None = self.__dict__.get("_capabilities")
        if known is None:
            async with self.connect() as connection:
                known = await connection.run_sync(lambda inner: capabilities(inner, self.backend))
            self.__dict__["_capabilities"] = known
        return known

    async def dispose(self) -> None:
        """Close every pooled connection."""
        if "engine" in self.__dict__:
            await self.engine.dispose()
