"""Saved views: names for addresses, kept in a file of Tradekeep's home, so that they work for every database."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from filelock import FileLock, Timeout

from core import private
from core.errors import TradekeepError, classify
from core.explore.address import View, view_of

FILE, ASIDE = "views.json", "views.unreadable-{}.json"
MOST = 200
LONGEST_NAME = 80
LOCK_WITHIN_S = 5


@dataclass(frozen=True)
class SavedView:
    """A view under a name."""

    name: str
    view: View


def saved_views(home: Path) -> list[SavedView]:
    """Every saved view by name; none where the file is missing or was spoiled by hand, then `unreadable` has it."""
    found = []
    for name, query in sorted((_read(home / FILE) or {}).items(), key=lambda item: item[0].lower()):
        if isinstance(query, str):
            with suppress(TradekeepError):  # edited by hand
                found.append(SavedView(name, view_of(parse_qs(query))))
    return found


def unreadable(home: Path) -> list[Path]:
    """Files of views that were spoiled by hand: the one in use, and those that a save put aside."""
    path = home / FILE
    return [*([path] if _read(path) is None else []), *sorted(home.glob(ASIDE.format("*")))]


def save_view(home: Path, name: str, view: View) -> SavedView:
    """Keep a view, from its first page, under a name; one of that name is replaced. Raises data.value."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise TradekeepError("data.value", f"A view's name has 1 to {LONGEST_NAME} characters.")
    kept = replace(view.first(), utc=False)
    with _changed(home) as views:
        if name not in views and len(views) >= MOST:
            raise TradekeepError("data.value", f"There are {MOST} saved views; remove one first.")
        views[name] = kept.query()
    return SavedView(name, kept)


def remove_view(home: Path, name: str) -> bool:
    """Forget a view; whether there was one of that name."""
    with _changed(home) as views:
        return views.pop(name, None) is not None


def _read(path: Path) -> dict[str, Any] | None:
    """What the file holds; {} where there is none, None where it cannot be read."""
    try:
        text = path.read_text("utf-8")
        body = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


@contextmanager
def _changed(home: Path) -> Iterator[dict[str, Any]]:
    """The views, to be changed; written as a whole at the end of the block. Raises permission.file, resource kinds.

    A file that cannot be read is put aside: somebody may mend it.
    """
    path = home / FILE
    try:
        private.folder(home)
        with FileLock(home / "views.lock", timeout=LOCK_WITHIN_S, mode=0o600):
            found = _read(path)
            views = found or {}
            yield views
            if found is None:
                path.rename(path.with_name(ASIDE.format(secrets.token_hex(4))))
            _write(path, json.dumps(views, ensure_ascii=False, indent=1).encode())
    except Timeout:
        raise TradekeepError("permission.file", "Another program holds the saved views.", path=path) from None
    except OSError as error:
        raise classify(error) from None


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{FILE}.{secrets.token_hex(6)}.tmp")
    try:
        with private.new_file(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
