"""Connections that look wrong and work: the controls of the failures, each through everything that takes them."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import sqlalchemy as sa

from core.database import Database
from core.settings import DatabaseConfig, parse_connection
from core.setup.diagnose import diagnose
from tests.conformance.lab import Lab

# Passwords that need no escape where they stand, each of a role of its own: id, password, and who reads the URL.
URLS = {
    "url_raw_question": ("p?ss", "libpq"),
    "url_raw_hash": ("p#ss", "libpq"),
    "url_raw_bracket": ("p[ss", "libpq"),
    "saurl_bad_percent": ("p%w", "SQLAlchemy"),
    "saurl_raw_slash": ("p/ss", "SQLAlchemy"),
    "saurl_raw_colon": ("p:ss", "SQLAlchemy"),
    "saurl_raw_bracket": ("p[ss", "SQLAlchemy"),
}


def works(config: DatabaseConfig) -> None:
    """The driver, Tradekeep's database and the connection test get in; rights are another matter."""
    psycopg.connect(**config.libpq_params()).close()
    database = Database(config)
    assert database.ping() > 0
    database.dispose()
    steps = {step.name: step for step in diagnose(config).steps}
    assert steps["login"].ok, steps


def by_url(name: str) -> Callable[[Lab], None]:
    password, reader = URLS[name]

    def attempt(lab: Lab) -> None:
        role = f"control_{name}"
        lab.once(role, lambda: lab.server.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
        scheme = "postgresql+psycopg" if reader == "SQLAlchemy" else "postgresql"
        url = f"{scheme}://{role}:{password}@127.0.0.1:{lab.server.port}/app"
        if reader == "SQLAlchemy":
            engine = sa.create_engine(url)
            engine.connect().close()
            engine.dispose()
        else:
            psycopg.connect(url).close()
        config = parse_connection(url)
        assert config.password is not None
        assert config.password.get_secret_value() == password
        works(config)

    return attempt


def falls_back_to_plain(lab: Lab) -> None:
    lab.showing("server")
    works(lab.tls_config("plainonly", "prefer"))


def right_certificate(lab: Lab) -> None:
    lab.showing("server")
    lab.certificates.issue("right", "x@example.com", common_name="certuser")
    files = {"sslcert": lab.certificates.path("right.crt"), "sslkey": lab.certificates.path("right.key")}
    works(lab.tls_config("certuser", "verify-full", **files))


def verified(lab: Lab) -> None:
    lab.showing("server")
    works(lab.tls_config("plain", "verify-full"))


def cut_at_nul(lab: Lab) -> None:
    """The driver cuts a password at a NUL, and so gets in; Tradekeep lets nobody give one."""
    lab.once("control_nul", lambda: lab.server.sql("CREATE ROLE control_nul LOGIN PASSWORD 'a'"))
    place = {"host": "127.0.0.1", "port": lab.server.port, "dbname": "app", "user": "control_nul"}
    psycopg.connect(**place, password="a\0b").close()  # type: ignore[arg-type]
    works(parse_connection(f"postgresql://control_nul:a@127.0.0.1:{lab.server.port}/app"))


CONTROLS: dict[str, Callable[[Lab], None]] = {
    "hba_hostnossl_prefer_ok": falls_back_to_plain,
    "auth_cert_ok": right_certificate,
    "special_password_nul": cut_at_nul,
    "tls_ok_verify_full": verified,
    **{name: by_url(name) for name in URLS},
}
