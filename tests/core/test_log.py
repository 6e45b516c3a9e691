"""No secret reaches the log, in whatever form it is written; the log rotates and is its owner's alone."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core import log
from core.log import MASK, JsonLines, configure, redact, remember_secret
from core.settings import DatabaseConfig

SECRETS = ("hunter2-Ж", "p@ss w/ör%d", 'it\'s "quoted" \\ here', "€uro😀key", "a:b@c#d?e", "%41%42%43", "tab\there")
FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "percent": lambda secret: quote(secret, safe=""),
    "percent, slashes kept": quote,
    "percent, lower case": lambda secret: quote(secret, safe="").replace("%C3", "%c3").replace("%E2", "%e2"),
    "form": quote_plus,
    "json": json.dumps,
    "json, other letters kept": lambda secret: json.dumps(secret, ensure_ascii=False),
    "json in json": lambda secret: json.dumps(json.dumps(secret)),
    "python": repr,
    "sql": lambda secret: secret.replace("'", "''"),
    "placeholder": lambda secret: secret.replace("%", "%%"),
    "shell": shlex.quote,
    "html": html.escape,
    "libpq": lambda secret: secret.replace("\\", "\\\\").replace("'", "\\'"),
}


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test plants is unknown to the next one."""
    monkeypatch.setattr(log, "_secrets", {})
    monkeypatch.setattr(log, "_longest_first", ())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of a log that is closed at the end."""
    yield tmp_path / "logs"
    configure(None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_secret_is_masked_in_every_form(secret: str, form: str) -> None:
    remember_secret(secret)
    written = FORMS[form](secret)
    shown = redact(f"before {written} after")
    assert MASK in shown
    assert secret not in shown
    assert written not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "\0plain\0"])
@pytest.mark.parametrize("secret", SECRETS)
def test_secret_is_masked_inside_of_base64(secret: str, before: str) -> None:
    """Whatever stands before it: an Authorization header has the user's name there."""
    remember_secret(secret)
    shown = redact(in_base64(before + secret + "|"))
    assert MASK in shown
    assert len(shown.replace(MASK, "")) <= len(in_base64(before)) + 6


@settings(deadline=None)
@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=40).filter(
        lambda text: text.casefold() not in log.COMMON
    ),
    form=st.sampled_from(sorted(FORMS)),
)
def test_any_secret_is_masked(secret: str, form: str) -> None:
    remember_secret(secret)
    written = FORMS[form](secret)
    assert written not in redact(f"before {written} after") or written in "before  after"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:se@cr@et@h:5432/db?x=1", "postgresql://u:***@h:5432/db?x=1"),
        ("postgresql+psycopg://u:a b@c d@h/db", "postgresql+psycopg://u:***@h/db"),
        ("redis://:secret@h", "redis://:***@h"),
        ("host=h password=secret user=u", "host=h password=*** user=u"),
        ("host=h password='a b\\' c' user=u", "host=h password=*** user=u"),
        ("PGPASSWORD=secret psql", "PGPASSWORD=*** psql"),
        ("DB_PASSWORD: secret", "DB_PASSWORD: ***"),
        ('{"password": "a b", "user": "u"}', '{"password": ***, "user": "u"}'),
        ('{\\"password\\": \\"a b\\"}', '{\\"password\\": ***}'),
        ("{'api_key': 'abc'}", "{'api_key': ***}"),
        ("h/db?password=secret&x=1", "h/db?password=***&x=1"),
        ("ALTER ROLE u PASSWORD 'it''s'", "ALTER ROLE u PASSWORD '***'"),
        ("ALTER ROLE u PASSWORD $$abc$$;", "ALTER ROLE u PASSWORD '***';"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("SCRAM-SHA-256$4096:c2FsdA==$a2V5:a2V5", "***"),
        ("md5" + "0123456789abcdef" * 2, "***"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        'FATAL:  password authentication failed for user "plain"',
        "see http://localhost:8501/setup and write to me@example.com",
        "ALTER ROLE u PASSWORD NULL",
        "12 tokens, 3 users",
    ],
)
def test_ordinary_text_is_kept(text: str) -> None:
    remember_secret("hunter2-secret")
    assert redact(text) == text


@pytest.mark.parametrize("secret", [None, "", "abc"])
def test_short_secret_does_not_mask_ordinary_words(secret: str | None) -> None:
    remember_secret(secret)
    assert redact("an abc of databases") == "an abc of databases"


@pytest.mark.parametrize("secret", ["postgres", "Password", "trading", "123456"])
def test_a_common_password_is_masked_where_it_stands_as_one_and_kept_in_prose(secret: str) -> None:
    remember_secret(secret)
    prose = f"database {secret}, PostgreSQL 15 on localhost:5432, role {secret}, 1234567 rows, /var/lib/{secret}/data"
    assert redact(prose) == prose
    for text in (
        f"postgresql://u:{secret}@h/db", f"password={secret} host=h", f"PGPASSWORD={secret} psql",
        f"POSTGRES_PASSWORD: {secret}", f"DB_PASS={secret}", f'{{"password": "{secret}"}}',
        f"ALTER ROLE u PASSWORD '{secret}'", f"jdbc:postgresql://h/db?user=u&password={secret}",
    ):  # fmt: skip
        assert secret not in redact(text).replace("jdbc:postgresql", "").replace("postgresql://u", ""), redact(text)


def test_a_role_s_name_is_kept_where_it_is_its_password_too() -> None:
    DatabaseConfig(host="db.example.com", user="grace-h", database="ledger", password=SecretStr("grace-h"))
    assert redact("grace-h@db.example.com/ledger refused") == "grace-h@db.example.com/ledger refused"
    DatabaseConfig(host="db.example.com", user="other", password=SecretStr("grace-h"))
    assert redact("with grace-h") == "with ***"


def test_longer_secret_is_masked_before_one_that_it_contains() -> None:
    remember_secret("word")
    remember_secret("password-and-more")
    assert redact("x password-and-more y") == "x *** y"


def test_record_is_masked_in_message_extra_and_traceback(folder: Path) -> None:
    remember_secret("hunter2-secret")
    file = configure(folder)
    assert file
    try:
        raise ValueError("hunter2-secret")
    except ValueError:
        logging.getLogger("core.x").exception("with %s", "hunter2-secret", extra={"place": {"a": "hunter2-secret"}})
    text = file.read_text("utf-8")
    row = json.loads(text)
    assert "hunter2" not in text
    assert row["message"] == "with ***"
    assert row["exception"].endswith("ValueError: ***")
    assert row["level"] == "ERROR"
    assert row["time"].endswith("Z")


def test_arguments_that_do_not_fit_are_masked_too() -> None:
    """logging itself would print them to stderr as they are."""
    remember_secret("hunter2-secret")
    record = logging.makeLogRecord({"msg": "%d rows", "args": ("hunter2-secret",)})
    assert json.loads(JsonLines().format(record))["message"] == "%d rows ('***',)"


def test_line_stays_one_line_and_odd_characters_are_kept(folder: Path) -> None:
    file = configure(folder)
    assert file
    # To the file alone: a lone surrogate in the captured output would end a test run with several workers.
    handler = next(h for h in logging.getLogger("core").handlers if isinstance(h, logging.FileHandler))
    handler.handle(logging.makeLogRecord({"name": "core.x", "msg": "two\nlines \ud800 %s", "args": ("é",)}))
    (line,) = file.read_text("utf-8").splitlines()
    assert "é" in json.loads(line)["message"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists, not mode bits")
def test_file_is_its_owners_alone_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        folder.mkdir(mode=0o755)
        (folder / "tradekeep.jsonl").write_text("")
        (folder / "tradekeep.jsonl").chmod(0o644)
        file = configure(folder)
    finally:
        os.umask(before)
    assert file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_log_rotates_and_keeps_five_files(folder: Path) -> None:
    file = configure(folder)
    assert file
    handler = next(h for h in logging.getLogger("core").handlers if isinstance(h, logging.handlers.RotatingFileHandler))
    handler.maxBytes = 500
    for number in range(100):
        logging.getLogger("core.x").info("row %s", number)
    files = sorted(folder.iterdir())
    assert len(files) == 5
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600} or os.name == "nt"


def test_folder_that_cannot_be_written_leaves_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert configure(blocked) is None
    logging.getLogger("core.x").warning("still said")
    assert "still said" in capsys.readouterr().err


def test_second_call_replaces_the_first(folder: Path, tmp_path: Path) -> None:
    configure(tmp_path / "first")
    file = configure(folder)
    assert file
    logging.getLogger("core.x").warning("once")
    assert len(file.read_text("utf-8").splitlines()) == 1
    assert "once" not in (tmp_path / "first" / "tradekeep.jsonl").read_text("utf-8")


def test_statements_are_shown_only_when_asked_for_and_masked(folder: Path) -> None:
    remember_secret("hunter2-secret")
    file = configure(folder, echo_sql=True)
    assert file
    logging.getLogger("sqlalchemy.engine").info("SELECT 'hunter2-secret'")
    configure(folder)
    logging.getLogger("sqlalchemy.engine").info("SELECT 2")
    assert [json.loads(line)["message"] for line in file.read_text("utf-8").splitlines()] == ["SELECT '***'"]


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
def test_every_folder_above_the_log_is_private(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert configure(tmp_path / "new" / "home" / "logs")
    finally:
        os.umask(before)
        configure(None)
    for folder in (tmp_path / "new", tmp_path / "new" / "home", tmp_path / "new" / "home" / "logs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
