"""The three ways into one database: reading, writing rows, and the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.database.connection import Limits
from core.database.database import Database
from core.errors import TradekeepError
from core.resilience import Breaker
from core.settings import DatabaseConfig

if TYPE_CHECKING:
    from core.settings import Settings


@dataclass(frozen=True)
class Databases:
    """The three ways in: reading (viewer), writing rows (runtime), schema and maintenance (owner).

    As a context manager it closes its connections at the end.
    """

    reader: Database
    writer: Database
    owner: Database

    @classmethod
    def from_settings(cls, settings: Settings) -> Databases:
        """Databases for the configured roles; with one role all three are the same. Raises config errors."""
        if settings.database is None:
            raise settings.error or TradekeepError("config.no_database")
        limits, breakers = Limits.of(settings), dict[tuple[str, str], Breaker]()
        made: dict[str, Database] = {}

        def database(config: DatabaseConfig, *, read_only: bool = False) -> Database:
            key = config.fingerprint()
            if key not in made:
                breaker = breakers.setdefault((config.host, config.port_text), Breaker())
                made[key] = Database(config, read_only=read_only, limits=limits, breaker=breaker)
            return made[key]

        writer = database(settings.database)
        owner = database(settings.owner) if settings.owner else writer
        reader = database(settings.viewer, read_only=True) if settings.viewer else writer
        return cls(reader=reader, writer=writer, owner=owner)

    @property
    def used_by_pages(self) -> list[Database]:
        """Those without which pages cannot be shown, each once: writer and reader."""
        return list(dict.fromkeys((self.writer, self.reader)))

    def __enter__(self) -> Databases:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def dispose(self) -> None:
        """Close all their connections."""
        for database in dict.fromkeys((self.reader, self.writer, self.owner)):
            database.dispose()
