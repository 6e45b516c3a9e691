"""The bot that the rows of a file belong to, by its name: the one that is there, or one that the first rows make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports.mapping import is_bots, of_bots
from core.models import TradingBot, User
from core.models.bots import BotType
from core.repositories.bulk import Target

NOBODY = "import@localhost"
PLACE = "0"  # in the rows until the bot's number is known
NO_CURRENCY = "?"
LONGEST = 100


@dataclass
class NamedBot:
    """A bot by its name. id: None as long as there is none of that name; type: what it trades with, if it is there."""

    name: str
    id: int | None = None
    type: str | None = None
    made: bool = False
    note: str = ""

    def of(self, connection: sa.Connection, rows: pa.Table, kind: str) -> tuple[pa.Table, int]:
        """The rows with the bot's number, and that; makes the bot where there is none. kind: of the source."""
        number = self._make(connection, rows, kind) if self.id is None else self.id
        place = rows.column_names.index("bot_id")
        return rows.set_column(place, "bot_id", pa.array([str(number)] * rows.num_rows, pa.string())), number

    def known(self, number: int) -> None:
        """Note that the bot is there, once its transaction has ended."""
        self.made, self.id = self.made or self.id is None, number

    def _make(self, connection: sa.Connection, rows: pa.Table, kind: str) -> int:
        first = {name: rows[name][0].as_py() for name in ("trade_type", "currency") if name in rows.column_names}
        bots: Any = TradingBot.__table__
        whose, self.note = owner(connection)
        values = {
            "user_id": whose,
            "type": first.get("trade_type") or BotType.LIVE,
            "name": self.name,
            "currency": first.get("currency") or NO_CURRENCY,
            "config": {},
            "extra_metadata": {"imported_from": kind},
            "description": f"Imported from {kind}.",
        }
        made: Any = connection.execute(sa.insert(bots).values(**values).returning(bots.c.id)).scalar_one()
        return int(made)


def named_bot(connection: sa.Connection, into: Target, name: str) -> NamedBot:
    """The bot of that name: a live one before others, the oldest first. Raises data.mapping."""
    name = name.strip()
    if not of_bots(into):
        raise TradekeepError("data.mapping", f"The rows of {into.name} belong to no bot.")
    if not name or len(name) > LONGEST or "\0" in name:
        raise TradekeepError("data.mapping", f"A bot's name has 1 to {LONGEST} characters.")
    bots: Any = TradingBot.__table__
    same = sa.select(bots.c.id, bots.c.type).where(bots.c.name == name)
    found = connection.execute(same.order_by(bots.c.type != BotType.LIVE, bots.c.id).limit(1)).one_or_none()
    return NamedBot(name, *found) if found else NamedBot(name)


def without_bots(into: Target) -> Target:
    """The table without its rule that a row's bot is there: for a look at rows whose bot is not made yet."""
    return replace(into, foreign=tuple(one for one in into.foreign if not is_bots(one)))


def names(db: Database) -> dict[str, str]:
    """The bots' names, each with what it trades with; the newest 500."""
    bots: Any = TradingBot.__table__
    with db.connect() as connection:
        found = connection.execute(sa.select(bots.c.name, bots.c.type).order_by(bots.c.id.desc()).limit(500)).all()
    return {name: str(type) for name, type in sorted(found, key=lambda one: (one[0], one[1] == BotType.LIVE))}


def owner(connection: sa.Connection) -> tuple[int, str]:
    """Whose a bot is: the first administrator's, else the first person's, else nobody's who can sign in; and a note."""
    users: Any = User.__table__
    first = sa.select(users.c.id).order_by(users.c.role != "admin", users.c.id).limit(1)
    found = connection.execute(first).scalar_one_or_none()
    if found is not None:
        return int(found), ""
    made: Any = sa.insert(users).values(email=NOBODY, role="trader", is_active=False).returning(users.c.id)
    note = f"There was no person whom the bot could belong to; {NOBODY} was added, who cannot sign in."
    return int(connection.execute(made).scalar_one()), note
