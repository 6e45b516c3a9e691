"""The table of errors is complete, consistent, and worded as the house style wants it."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg.errors
import pytest

from core.errors import KINDS, TYPES, Kind, TradekeepError, classify, explained, match
from core.errors.__main__ import page
from core.errors.ask import BY_STATE, BY_VERIFY_CODE, QUESTIONS

ROOT = Path(__file__).parent.parent.parent
FACTS = {"host": "db", "port": 5433, "user": "me", "database": "trading", "path": "/data", "table": "trades"}
SQLSTATES = sorted(
    {
        found.sqlstate
        for found in vars(psycopg.errors).values()
        if isinstance(found, type) and issubclass(found, psycopg.Error) and found.sqlstate
    }
)


def texts(error: TradekeepError) -> list[str]:
    return [error.title, error.message, error.why, error.suggested_fix, *error.recovery_steps]


@pytest.mark.parametrize("name", KINDS)
def test_kind_is_complete(name: str) -> None:
    kind = KINDS[name]
    assert kind.error_type in TYPES
    assert name.partition(".")[0] == kind.error_type
    assert re.fullmatch(r"DB_\d{3}", kind.code)
    assert 400 <= kind.http <= 599
    assert kind.retryable or kind.retry_after is None
    assert set(kind.steps_on) <= {"linux", "macos", "windows"}


@pytest.mark.parametrize("facts", [{}, FACTS], ids=["no facts", "facts"])
@pytest.mark.parametrize("name", KINDS)
def test_texts_are_filled_and_in_style(name: str, facts: dict[str, Any]) -> None:
    error = TradekeepError(name, **facts)
    for text in texts(error):
        assert not re.search(r"\{\w+\}", text), text
        assert "!" not in text.replace("!=", ""), text
        assert "  " not in text
        assert text == text.strip()
    first = error.title.split()[0]
    assert not first[0].islower() or first.endswith(".conf") or facts
    assert not error.title.endswith(".")
    assert error.why.endswith(".")
    assert error.suggested_fix.endswith(".")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in KINDS.values()]
    assert sorted(set(codes)) == sorted(codes)


def test_matchers_name_only_kinds_that_exist() -> None:
    table = match.table()
    named = {
        kind
        for section in ("exceptions", "fallbacks", "errnos", "sqlite", "sqlstates")
        for kind in table[section].values()
    }
    named |= {rule["kind"] for section in ("refine", "text", "log") for rule in table[section]}
    assert named | set(BY_STATE.values()) | set(BY_VERIFY_CODE.values()) | set(QUESTIONS) <= set(KINDS)


def test_names_of_errnos_exist() -> None:
    import errno

    assert set(match.table()["errnos"]) - set(dir(errno)) == set()


def test_rules_are_reachable() -> None:
    """A rule of an SQLSTATE stands for a code that has an own kind to refine, or at least a class."""
    codes = match.table()["sqlstates"]
    for rule in match.table()["refine"]:
        assert rule["sqlstate"] in codes or rule["sqlstate"][:2] in codes or rule["sqlstate"].startswith("XX"), rule


@pytest.mark.parametrize("sqlstate", SQLSTATES)
def test_every_exception_of_psycopg_has_a_kind(sqlstate: str) -> None:
    error = classify(psycopg.errors.lookup(sqlstate)("something failed"))
    assert (error.kind == "unexpected") == (sqlstate in ("XX000",)), error.kind


@pytest.mark.parametrize(
    "cls",
    [
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.ProgrammingError,
        psycopg.NotSupportedError,
        psycopg.InterfaceError,
    ],
)
def test_every_general_exception_of_psycopg_has_a_kind(cls: type[psycopg.Error]) -> None:
    assert classify(cls("something failed")).kind != "unexpected"


def test_unknown_is_not_guessed() -> None:
    for exc in (psycopg.OperationalError("what is this"), RuntimeError("server closed the connection"), KeyError("x")):
        assert classify(exc).kind == "unexpected"


@pytest.mark.parametrize("name", KINDS)
def test_error_pickles(name: str) -> None:
    error = TradekeepError(name, details="x", host="db")
    again = pickle.loads(pickle.dumps(error))
    assert again.diagnostic_info() == error.diagnostic_info()


def test_commands_quote_what_a_shell_would_read() -> None:
    error = TradekeepError("auth.role_missing", user="x; rm -rf $HOME", port=5432)
    assert any("'x; rm -rf $HOME'" in step for step in error.recovery_steps)
    error = TradekeepError("auth.role_no_login", user='we"ird')
    assert error.recovery_steps == ['As an administrator: ALTER ROLE "we""ird" LOGIN;']


def test_commands_of_psql_quote_names_as_psql_does() -> None:
    error = TradekeepError("auth.password", user="we\"ird o'x")
    assert error.recovery_steps[-1].endswith('\\password "we""ird o\'x"')
    raw = [step for kind in KINDS.values() for steps in kind.steps_on.values() for step in steps]
    filled = [step for step in raw if re.search(r"\\[a-zS+]+ [^\n]*\{", step)]
    assert len(filled) >= 6
    assert [step for step in filled if not re.search(r'\\[a-zS+]+ "\{\w+\}"$', step)] == []


@pytest.mark.parametrize(
    ("host", "written"),
    [("db", "db"), ("::1", "'[::1]'"), ("/var/run/postgresql", "%2Fvar%2Frun%2Fpostgresql"), (None, "HOST")],
)
def test_step_of_a_missing_database_is_a_command_that_runs(host: str | None, written: str) -> None:
    steps = TradekeepError("schema.missing_database", host=host, port=5433, database="bots").recovery_steps
    command = f"python -m core setup --url postgresql://USER@{written}:5433/postgres --database bots"
    assert steps[-1].endswith(command)


def test_no_step_advises_a_setup_without_its_options() -> None:
    raw = [step for kind in KINDS.values() for steps in kind.steps_on.values() for step in steps]
    advised = [step for step in raw if "python -m core setup" in step]
    assert advised
    assert [step for step in advised if not re.search(r"core setup --(url|embedded)", step)] == []


def test_missing_password_names_the_ways_of_the_command_line() -> None:
    for steps in KINDS["auth.no_password"].steps_on.values():
        assert "--stdin" in steps[0]
        assert "TRADEKEEP_ADMIN_PASSWORD" in steps[0]


def test_start_by_systemd_has_an_alternative() -> None:
    for kind in KINDS.values():
        text = " ".join(kind.steps_on["linux"])
        if re.search(r"systemctl (re)?start postgresql", text):
            assert "sudo pg_ctlcluster VERSION" in text, kind.name
            assert "pg_lsclusters" in text, kind.name


def test_unknown_fact_is_a_word_in_a_sentence_and_a_capital_in_a_command() -> None:
    error = TradekeepError("auth.role_no_login")
    assert error.title == "The user may not sign in"
    assert error.recovery_steps == ['As an administrator: ALTER ROLE "USER" LOGIN;']
    assert TradekeepError("service.refused").title == "Nothing listens at the server"
    assert TradekeepError("service.refused", host="::1", port=1).title == "Nothing listens at [::1]:1"


def test_explained_has_everything_that_a_person_needs() -> None:
    error = TradekeepError("service.refused", details="technical", host="db", port=1)
    text = explained(error)
    for part in (error.message, error.error_code, error.why, error.suggested_fix, *error.recovery_steps, "technical"):
        assert part in text


def test_page_of_documentation_is_current() -> None:
    written = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert written == page(), "run: python -m core.errors > docs/errors.md"


def test_page_has_the_steps_of_every_platform() -> None:
    guide = page()
    assert all(kind.code in guide for kind in KINDS.values())
    assert "brew services start postgresql" in guide
    assert "Get-Service postgresql" in guide


def test_every_link_of_the_guide_has_its_section() -> None:
    guide = page()
    anchors = set(re.findall(r'<a id="(db_\d+)"></a>', guide)) | {"what-you-see", "sqlstates", "types", *TYPES}
    assert set(re.findall(r"\]\(#([\w-]+)\)", guide)) <= anchors
    for name in KINDS:
        path, _, anchor = TradekeepError(name).help.partition("#")
        assert (ROOT / path).is_file()
        assert anchor in anchors


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        ('password authentication failed for user "..."', "auth.password"),
        ("connection refused", "service.refused"),
        ("certificate has expired", "tls.expired"),
        ("sorry, too many clients already", "resource.connections"),
        ("could not locate a valid checkpoint record", "resource.corrupt_cluster"),
        ("| `42P01` |", "schema.missing_table"),
    ],
)
def test_guide_leads_from_what_a_person_sees_to_the_section(seen: str, code: str) -> None:
    row = next(line for line in page().splitlines() if line.startswith("|") and seen in line)
    assert f"({KINDS[code].help.partition('#')[1]}{KINDS[code].help.partition('#')[2]})" in row


def test_error_names_its_section() -> None:
    error = TradekeepError("service.refused")
    assert error.help == "docs/errors.md#db_001"
    assert error.help in explained(error)
    assert error.diagnostic_info()["help"] == error.help


def test_import_needs_no_driver() -> None:
    heavy = {"psycopg", "sqlalchemy", "pydantic", "core.settings"}
    program = f"import sys, core.errors; print(sorted({heavy} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_steps_are_those_of_the_platform() -> None:
    kind = Kind("x", "DB_999", "data", "t", "w", "f", {"linux": ("l",), "macos": ("m",), "windows": ("w",)})
    assert kind.steps == {"darwin": ("m",), "win32": ("w",)}.get(sys.platform, ("l",))
