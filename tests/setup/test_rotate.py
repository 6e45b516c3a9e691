"""New passwords: in the files and on the server alike, whatever fails in between, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from core import envfile
from core.database import session
from core.errors import TradekeepError
from core.settings import DatabaseConfig, Settings, load_settings, parse_connection
from core.setup import provision, rotate, wizard
from core.setup.provision import Provisioned
from tests.servers import Cluster
from tests.setup.test_provision import dropped

KEYS = {"owner": "owner", "runtime": "database", "viewer": "viewer"}


@pytest.fixture
def made(home: Path, cluster: Cluster) -> Iterator[Provisioned]:
    """Three roles whose logins stand in the project's files."""
    dropped(cluster, "spun")
    result = provision.provision(cluster.admin, database="spun", bundled=False)
    Path(".env.local").write_text("# the platform's\nOTHER=1\n")
    wizard.write(wizard.configuration(load_settings(), result), load_settings())
    yield result
    dropped(cluster, "spun")


def signs_in(config: DatabaseConfig | None) -> bool:
    assert config is not None
    return provision.works(config)


def logins(settings: Settings) -> list[DatabaseConfig]:
    return [config for config in (settings.owner, settings.database, settings.viewer) if config is not None]


def assert_in_line(settings: Settings) -> None:
    """What the files hold is what the server takes, and nothing of a rotation is left."""
    assert all(map(signs_in, logins(settings)))
    for values in wizard.env_values(settings).values():
        assert not [key for key in values if key.endswith("_NEXT")]


@pytest.mark.parametrize("with_admin", [False, True])
def test_every_role_gets_a_new_password_that_works(made: Provisioned, cluster: Cluster, with_admin: bool) -> None:
    told: list[str] = []
    done = rotate.rotate(
        load_settings(),
        admin=cluster.admin if with_admin else None,
        progress=lambda number, total, message: told.append(message),
    )
    assert done.roles == ["spun_owner", "spun", "spun_viewer"]
    assert {path.name for path in done.written} == {".env.local", ".env.tradekeep"}
    assert not any(map(signs_in, (made.owner, made.runtime, made.viewer)))
    assert_in_line(load_settings())
    assert Path(".env.local").read_text().startswith("# the platform's\nOTHER=1\nDATABASE_URL=")
    assert told[-1] == "The new passwords work"


@pytest.mark.parametrize("role", rotate.ROLES)
def test_one_role_alone(made: Provisioned, role: str) -> None:
    before = load_settings()
    rotate.rotate(before, roles=(role,))
    after = load_settings()
    assert_in_line(after)
    for name, field in KEYS.items():
        assert (getattr(before, field) != getattr(after, field)) == (name == role)


def test_a_single_login_is_rotated_once(made: Provisioned) -> None:
    settings = load_settings()
    wizard.write(wizard.configuration(settings, provision.adopt(made.owner)), settings)
    assert rotate.rotate(load_settings()).roles == ["spun_owner"]
    assert_in_line(load_settings())


@pytest.mark.parametrize(
    "form",
    [
        "postgresql+asyncpg://spun:{password}@127.0.0.1:{port}/spun",
        "postgres://spun:{password}@127.0.0.1:{port}/spun?application_name=bot&sslmode=prefer",
        "host=127.0.0.1 port={port} dbname=spun user=spun password={password} connect_timeout=3",
        "jdbc:postgresql://127.0.0.1:{port}/spun?user=spun&password={password}",
    ],
)
def test_the_form_of_the_connection_string_stays(made: Provisioned, form: str) -> None:
    assert made.runtime.password is not None
    old = made.runtime.password.get_secret_value()
    text = form.replace("{port}", str(made.runtime.port))
    Path(".env.local").write_text(f'DATABASE_URL="{text.replace("{password}", old)}"\nDB_URL={made.runtime.url()}\n')
    rotate.rotate(load_settings(), roles=("runtime",))
    settings = load_settings()
    assert settings.database is not None
    assert settings.database.password is not None
    new = settings.database.password.get_secret_value()
    values = envfile.values(Path(".env.local"))
    assert values["DATABASE_URL"] == text.replace("{password}", new)
    assert parse_connection(values["DB_URL"]).password == settings.database.password
    assert signs_in(settings.database)


@pytest.mark.parametrize("fault", ["second role", "signing in", "cancel"])
def test_what_fails_before_the_files_are_published_is_put_back(
    made: Provisioned, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    before = Path(".env.local").read_bytes(), Path(".env.tradekeep").read_bytes()

    class Stopped(BaseException):
        pass

    def stop(done: int, total: int, message: str) -> None:
        if fault == "cancel" and done == 2:
            raise Stopped

    change = rotate._Changes.set_password
    changes: list[str] = []

    def refuse(self: rotate._Changes, config: DatabaseConfig, password: str) -> None:
        changes.append(config.user)
        if fault == "second role" and len(changes) == 2:
            raise TradekeepError("service.shutting_down")
        change(self, config, password)

    def no_entry(config: DatabaseConfig):  # type: ignore[no-untyped-def]
        if fault == "signing in" and len(changes) == 3 and config.user == "spun":
            changes.append("")
            raise TradekeepError("auth.password")
        return session(config)

    monkeypatch.setattr(rotate._Changes, "set_password", refuse)
    monkeypatch.setattr(rotate, "session", no_entry)
    with pytest.raises((TradekeepError, Stopped)):
        rotate.rotate(load_settings(), progress=stop)
    assert_in_line(load_settings())
    assert all(map(signs_in, (made.owner, made.runtime, made.viewer)))
    assert (Path(".env.local").read_bytes(), Path(".env.tradekeep").read_bytes()) == before


def test_a_second_run_finishes_what_was_interrupted(made: Provisioned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after two roles were changed and before a file was: the files still hold everything."""
    monkeypatch.setattr(rotate._Changes, "undo", lambda self: False)
    change = rotate._Changes.set_password

    def die(self: rotate._Changes, config: DatabaseConfig, password: str) -> None:
        if config.user == "spun_viewer":
            raise KeyboardInterrupt
        change(self, config, password)

    with monkeypatch.context() as patch:
        patch.setattr(rotate._Changes, "set_password", die)
        with pytest.raises(KeyboardInterrupt):
            rotate.rotate(load_settings())
    assert not signs_in(load_settings().database)
    assert rotate.interrupted(load_settings())
    done = rotate.rotate(load_settings())
    assert done.recovered == ["spun_owner", "spun"]
    assert_in_line(load_settings())


def test_a_setup_finishes_what_was_interrupted(made: Provisioned, cluster: Cluster) -> None:
    new = rotate._generated()
    with Path(".env.local").open("a") as file:
        file.write(f"DATABASE_URL_NEXT={made.runtime.replace(password=new).url()}\n")
    with session(made.runtime) as connection:
        connection.execute(sql.SQL("ALTER ROLE spun PASSWORD {}").format(sql.Literal(new)))
    known = wizard.known_logins(load_settings(), "spun")
    again = provision.provision(cluster.admin, database="spun", known=known, bundled=False)
    assert again.created == []
    wizard.write(wizard.configuration(load_settings(), again), load_settings())
    assert_in_line(load_settings())


def test_a_lost_password_needs_an_administrator(made: Provisioned, cluster: Cluster) -> None:
    cluster.sql("ALTER ROLE spun PASSWORD 'somebody else''s'")
    before = Path(".env.local").read_bytes()
    with pytest.raises(TradekeepError) as caught:
        rotate.rotate(load_settings())
    assert caught.value.error_type == "auth"
    assert Path(".env.local").read_bytes() == before
    rotate.rotate(load_settings(), admin=cluster.admin)
    assert_in_line(load_settings())


@pytest.mark.parametrize("case", ["environment", "nothing", "sqlite", "no password", "role"])
def test_what_stands_in_no_file_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, case: str
) -> None:
    if case == "environment":
        monkeypatch.setenv("DATABASE_URL", cluster.admin.url())
    elif case == "sqlite":
        Path(".env.local").write_text("DATABASE_URL=sqlite:///x.db\n")
    elif case == "no password":
        Path(".env.local").write_text("DATABASE_URL=postgresql://me@localhost/db\n")
    with pytest.raises(TradekeepError) as caught:
        rotate.rotate(load_settings(), roles=("emperor",) if case == "role" else rotate.ROLES)
    assert caught.value.kind == ("config.no_database" if case == "nothing" else "config.rotation")
    assert cluster.admin.password is not None
    assert cluster.admin.password.get_secret_value() not in caught.value.message


def test_a_file_that_cannot_be_written_changes_nothing(made: Provisioned) -> None:
    Path(".env.local").write_text(f'A="oops\n\n{Path(".env.local").read_text()}')
    with pytest.raises(TradekeepError, match="Line 1"):
        rotate.rotate(load_settings())
    assert all(map(signs_in, (made.owner, made.runtime, made.viewer)))
    assert_in_line(load_settings())
