"""Database for asyncio callers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from core.database.connection import DRIVER_ERRORS, Limits, connect_parameters
from core.database.database import Base
from core.resilience import Breaker
from core.settings import DatabaseConfig


class AsyncDatabase(Base):
    """Database for asyncio callers: the same limits, translation and breaker."""

    def __init__(
        self,
        config: DatabaseConfig,
        *,
        read_only: bool = False,
        limits: Limits | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        super().__init__(config, read_only=read_only, limits=limits or Limits(), breaker=breaker)
        parameters = connect_parameters(config, self.limits)

        async def creator() -> psycopg.AsyncConnection[Any]:
            return await psycopg.AsyncConnection.connect(**parameters, prepare_threshold=None)

        self.engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=creator,
            pool_size=self.limits.pool_size,
            max_overflow=self.limits.max_overflow,
            pool_timeout=self.limits.pool_timeout_s,
            pool_recycle=self.limits.pool_recycle_s,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    @asynccontextmanager
    async def connect(self, *, statement_timeout_s: float | None = -1) -> AsyncIterator[AsyncConnection]:
        """An AsyncConnection in one transaction, as Database.connect."""
        timeout_s = self.limits.statement_timeout_s if statement_timeout_s == -1 else statement_timeout_s
        self.breaker.check()
        begin = time.perf_counter()
        try:
            connection = await self.engine.connect()
        except (*DRIVER_ERRORS, OSError) as exc:
            error = self.translated(exc, begin)
            self.breaker.failed(error)
            raise error from None
        self.breaker.succeeded()
        try:
            await connection.exec_driver_sql(*self.bounds(timeout_s))
            yield connection
            await connection.commit()
        except DRIVER_ERRORS as exc:
            raise self.translated(exc, begin) from None
        finally:
            await connection.close()

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
        async with self.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
        return (time.perf_counter() - begin) * 1000

    async def dispose(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()
