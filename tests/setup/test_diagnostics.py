"""The diagnostics file: readable by a program, and without a secret."""

from __future__ import annotations

import json
from pathlib import Path

from core.log import remember_secret
from core.settings import load_settings
from core.setup.diagnostics import diagnostics
from core.setup.verify import Verification

AWKWARD = 'pw"}],{"\\é'


def test_diagnostics_are_json_whatever_stands_in_them(home: Path) -> None:
    remember_secret(AWKWARD)
    Path(".env.local").write_text("DATABASE_URL=postgresql://trading:S3cret-planted@127.0.0.1:1/trading\n")
    (home / "logs").mkdir()
    lines = [
        {"message": f"password={AWKWARD}", "n": 1},
        {"message": "connect to postgresql://trading:S3cret-planted@h/d failed", "password": "S3cret-planted"},
    ]
    (home / "logs" / "tradekeep.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    message = f"said: PASSWORD 'x\"y' and {AWKWARD}"
    text = diagnostics(load_settings(), [Verification(name="A", ok=False, message=message)])
    document = json.loads(text)
    assert {"packages", "settings", "connections", "schema", "log"} <= set(document)
    assert len(document["log"]) == 2
    assert AWKWARD not in repr(document)
    assert "S3cret-planted" not in text
