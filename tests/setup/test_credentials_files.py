"""Password and service files mean to us what they mean to libpq itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import pq

from core.setup.credentials import passfile, servicefile
from tests.servers import free_folder

NOBODY = 65534
FAST = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FIELDS = st.sampled_from(
    ["*", "localhost", "h", "1.2.3.4", "5432", "5433", "db", "u", "a\\:b", "\\*", "x\\\\", "", "é", "\\"]
)
PASSWORDS = st.sampled_from(["p", "p:q", "p\\:q", "p\\\\q", "a b ", "#x", "é", "", "\\", "p\r", "*"])
LINES = st.lists(
    st.one_of(
        st.tuples(FIELDS, FIELDS, FIELDS, FIELDS, PASSWORDS).map(":".join),
        st.sampled_from(["", "# a:b:c:d:e", " #x", "::::", "h:5432:db", "\ufeffh:5432:db:u:bom", "x" * 3000]),
    ),
    max_size=8,
)


def by_libpq(file: Path, host: str, port: str, database: str, user: str) -> str:
    """The password that libpq takes from the file; nothing answers at the address, so nothing is sent."""
    given_ = f"host='{host}' hostaddr=127.0.0.1 port={port} dbname='{database}' user='{user}' passfile='{file}'"
    pgconn = pq.PGconn.connect_start(given_.encode())
    try:
        return (pgconn.password or b"").decode("utf-8", "surrogateescape")
    finally:
        pgconn.finish()


@FAST
@given(
    lines=LINES,
    end=st.sampled_from(["\n", "\r\n"]),
    login=st.tuples(
        st.sampled_from(["h", "localhost", "1.2.3.4", "*"]), st.sampled_from(["5432", "5433"]),
        st.sampled_from(["db", "a:b", "*"]), st.sampled_from(["u", "a:b", "é"]),
    ),
)  # fmt: skip
@example(lines=["h:5432:a\\:b:u:p\\:q"], end="\n", login=("h", "5432", "a:b", "u"))
@example(lines=["*:*:*:a\\:b:one", "*:*:*:*:two"], end="\r\n", login=("1.2.3.4", "5433", "db", "a:b"))
@example(lines=["\\*:5432:*:u:star", "#*:*:*:*:no", "*:5432:*:u:any"], end="\n", login=("h", "5432", "db", "u"))
def test_the_line_that_libpq_takes_is_the_one_we_name(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str, login: tuple[str, str, str, str]
) -> None:
    file = tmp_path_factory.getbasetemp() / f"pgpass-{os.getpid()}"
    file.write_bytes(end.join(lines).encode() + end.encode())
    file.chmod(0o600)
    first = passfile.read(file).first(*login)
    assert (first.password if first else "") == by_libpq(file, *login)


SERVICE = ["[a]", "[b]", "[a", "[a]x", "host=/a", "host=/b", " port=5 ", "port = 6", "#x", "", "dbname=d\r", "user=u=v",
           "password=p p ", "sslmode=require", "nonsense=1", "[]", "host"]  # fmt: skip


@pytest.fixture(autouse=True)
def places(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables as they were, afterwards."""
    monkeypatch.setenv("PGSERVICEFILE", "")


@FAST
@given(lines=st.lists(st.sampled_from(SERVICE), max_size=9))
def test_a_service_is_what_libpq_makes_of_it(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.getbasetemp() / f"service-{os.getpid()}"
    file.write_text("\n".join(["[a]", *lines, ""]))
    found = servicefile.read(file)
    assert found is not None
    ours = next(service for service in found.services if service.name == "a")
    os.environ["PGSERVICEFILE"] = str(file)  # the fixture `home` takes it back
    pgconn = pq.PGconn.connect_start(b"service=a")
    try:
        theirs = {o.keyword.decode(): (o.val or b"").decode() for o in pgconn.info}
        message = pgconn.get_error_message()
    finally:
        pgconn.finish()
    if "service file" in message or "definition of service" in message:
        assert ours.problem, message
        return
    assert not ours.problem, message
    for keyword, value in ours.values.items():
        assert theirs[keyword] == value


def test_a_missing_file_is_no_file(tmp_path: Path) -> None:
    assert servicefile.read(tmp_path / "none") is None
    assert passfile.read(tmp_path / "none").missing


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files of Windows have no such modes")
def test_a_file_that_may_not_be_read_is_called_so() -> None:
    folder = free_folder()
    folder.chmod(0o755)
    file = folder / "services"
    file.write_text("[a]\n")
    file.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)  # root may read everything
    try:
        found = servicefile.read(file)
    finally:
        os.seteuid(before)
    assert found is not None
    assert "denied" in found.problem


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "pgpass"
    with file.open("wb") as out:
        out.truncate(passfile.LARGEST_BYTES + 1)
    file.chmod(0o600)
    assert "larger" in passfile.read(file).problem
