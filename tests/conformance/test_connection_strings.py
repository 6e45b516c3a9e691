"""Every connection string of the table means to us what it means to libpq."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import conninfo, pq

from core.errors import TradekeepError
from core.settings import parse_connection

CASES = json.loads((Path(__file__).parent / "connection-strings.json").read_text("utf-8"))["cases"]
# libpq 18 drops a blank at the end of a URL's part, older ones keep it; so do we.
DROPS_BLANKS = {"own-uri-69"}


def by_libpq(text: str) -> dict[str, str] | None:
    """What the installed libpq reads, or None if it refuses."""
    try:
        return {o.keyword.decode(): o.val.decode() for o in pq.Conninfo.parse(text.encode()) if o.val is not None}
    except psycopg.OperationalError:
        return None


def by_us(text: str) -> dict[str, str] | None:
    try:
        return parse_connection(text).libpq_params()
    except TradekeepError:
        return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_reads_what_the_table_says(case: dict[str, Any]) -> None:
    assert by_us(case["input"]) == case.get("expect")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_reads_what_libpq_reads(case: dict[str, Any]) -> None:
    ours, theirs = by_us(case["input"]), by_libpq(case["input"])
    if case["id"] in DROPS_BLANKS and ours:
        ours = {key: value.strip(" ") for key, value in ours.items()}
    assert ours == theirs


@pytest.mark.parametrize("case", [case for case in CASES if "expect" in case], ids=lambda case: case["id"])
def test_own_url_means_the_same_to_libpq(case: dict[str, Any]) -> None:
    config = parse_connection(case["input"])
    variables = {
        option.envvar.decode(): option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.envvar
    }
    read = by_libpq(config.url())
    assert read is not None
    assert read | {variables[name]: value for name, value in config.extra_env().items()} == config.libpq_params()
    assert parse_connection(conninfo.make_conninfo(**config.libpq_params())) == config


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=lambda case: case["id"])
def test_refusal_is_a_sentence_without_the_text(case: dict[str, Any]) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(case["input"])
    message = caught.value.message
    assert caught.value.error_type == "config"
    assert message.endswith((".", "?"))
    assert "PQ" not in message
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


# Everything that libpq's two grammars treat specially, and what people write in between.
PIECES = st.sampled_from(
    ["user", "pw", "@", ":", "/", "?", "&", "=", "%41", "%2F", "%zz", "%00", "%", "[", "]", "::1", "fe80::1%25eth0",
     ",", "h1", "h2", "5432", "host=", "port=", "dbname=", "password=", "sslmode=require", "options=-c%20a%3Db",
     "\n", "\t", "'", "\\", "é", "service=x", "hostaddr=1.2.3.4", "#", ";", "+", "ssl=true", "keepalives=1",
     "connect_timeout=", '"', "$X", "target_session_attrs=any", "sslrootcert=system", "~", "psql", "nonsense=1",
     "%E4", "postgres://"]
)  # fmt: skip
TEXTS = st.builds(
    lambda scheme, pieces: scheme + "".join(pieces),
    st.sampled_from(["postgresql://", "postgres://", "host=h ", "", "POSTGRES://", "postgres:", "postgresql:///"]),
    st.lists(PIECES, max_size=10),
)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS)
def test_any_text_means_what_it_means_to_libpq_or_is_refused(text: str) -> None:
    """Refused beyond that is only what is no UTF-8 once it is decoded."""
    ours = by_us(text)
    try:
        theirs = by_libpq(text)
    except UnicodeDecodeError:
        theirs = None
    if ours is None and theirs is not None:
        pytest.fail(f"refused, but libpq reads it: {text!r}")
    assert ours is None or _not_empty(ours) == _not_empty(theirs or {})


def _not_empty(read: dict[str, str]) -> dict[str, str]:
    """What was given; an empty value is none to libpq, but for the password."""
    return {key: value for key, value in read.items() if value or key == "password"}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS)
def test_what_was_read_comes_back_from_its_own_url(text: str) -> None:
    if by_us(text) is None:
        return
    config = parse_connection(text)
    read = by_libpq(config.url())
    assert read is not None
    variables = {o.envvar.decode(): o.keyword.decode() for o in pq.Conninfo.get_defaults() if o.envvar}
    assert read | {variables[name]: value for name, value in config.extra_env().items()} == config.libpq_params()
