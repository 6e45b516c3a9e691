"""What people paste is read as they meant it, or refused without showing a secret."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import TradekeepError
from core.settings import parse_connection, read_pasted

FULL = {"host": "h", "user": "u", "password": "p", "dbname": "d"}
PORT = FULL | {"port": "5433"}
TLS = FULL | {"sslmode": "require"}

READ = [
    ('"postgresql://u:p@h/d"', FULL),
    ("  'postgres://u:p@h/d'  \n", FULL),
    ("`postgres://u:p@h/d`", FULL),
    ("<postgres://u:p@h/d>", FULL),
    ("\ufeffpostgres://u:p@h/d\u200b", FULL),
    ("\u201cpostgres://u:p@h/d\u201d", FULL),
    ("postgres://u:p@h/d;", FULL),
    ("postgres://u:p@h/d \\", FULL),
    ("POSTGRESQL://u:p@h/d", FULL),
    ("postgis://u:p@h/d", FULL),
    ("DATABASE_URL=postgresql://u:p@h/d", FULL),
    ('export DATABASE_URL="postgresql://u:p@h:5433/d";', PORT),
    ("set DATABASE_URL=postgres://u:p@h/d", FULL),
    ('$env:DATABASE_URL = "postgres://u:p@h/d"', FULL),
    ("DATABASE_URL: postgres://u:p@h/d", FULL),
    ("DATABASE_URL = 'postgres://u:p@h/d'  # the real one", FULL),
    ('"DATABASE_URL": "postgres://u:p@h/d",', FULL),
    ("engine = create_engine('postgresql+psycopg2://u:p@h/d', echo=True)", FULL),
    ('new Pool({ connectionString: "postgres://u:p@h:5433/d" })', PORT),
    ("psycopg.connect('postgres://u:p@h/d')", FULL),
    ("url = \"jdbc:postgresql://h:5433/d?user=u&password=p\"", PORT),
    ("spring.datasource.url=jdbc:postgresql://h/d?user=u&password=p&ssl=true", FULL | {"sslmode": "verify-full"}),
    ('DATABASE_URL="postgres://u:p@h/d"\nREDIS_URL=redis://x\nDEBUG=1', FULL),
    ("# mine\nPGHOST=h\nPGUSER=u\nPGPASSWORD='p'\nPGDATABASE=d\nPGSSLMODE=require", TLS),
    ("DB_HOST=h\nDB_PORT=5433\nDB_USER=u\nDB_PASSWORD=p\nDB_NAME=d", PORT),
    ("POSTGRES_USER=u\nPOSTGRES_PASSWORD=p\nPOSTGRES_DB=d", {"user": "u", "password": "p", "dbname": "d"}),
    ("Host=h;Port=5433;Username=u;Password=p;Database=d", PORT),
    ("Server=h;User Id=u;Password='p;q';Database=d;SSL Mode=VerifyFull;Trust Server Certificate=true",
     FULL | {"password": "p;q", "sslmode": "verify-full"}),
    ("Driver={PostgreSQL Unicode};Server=h;Port=5433;Database=d;Uid=u;Pwd=p;", PORT),
    ("Host=h;Database=d;Username=u;Password=a=b", FULL | {"password": "a=b"}),
    ("host=h user=u password=p dbname=d port=5433 sslmode=disable TimeZone=Asia/Shanghai",
     PORT | {"sslmode": "disable"}),
    ("host=h user=u password='a b' dbname=d", FULL | {"password": "a b"}),
    ('production:\n  adapter: postgresql\n  host: h\n  database: d\n  username: u\n  password: "p"\n  port: 5433',
     PORT),
    ('psycopg2.connect(host="h", dbname="d", user="u", password="p", port=5433)', PORT),
    ("await asyncpg.connect(user='u', password='p', database='d', host='h')", FULL),
    ("{'ENGINE': 'django.db.backends.postgresql', 'NAME': 'd', 'USER': 'u', 'PASSWORD': 'p', 'HOST': 'h'}", FULL),
    ('{"username":"u","password":"p","engine":"postgres","host":"h","port":5433,"dbname":"d"}', PORT),
    ("psql -h h -U u -d d", {"host": "h", "user": "u", "dbname": "d"}),
    ("postgresql://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres",
     {"host": "aws-0-eu.pooler.supabase.com", "port": "6543", "user": "postgres.ref", "password": "p",
      "dbname": "postgres"}),
    ("psql 'postgresql://o:npg@ep-x-pooler.aws.neon.tech/neondb?sslmode=require&channel_binding=require'",
     {"host": "ep-x-pooler.aws.neon.tech", "user": "o", "password": "npg", "dbname": "neondb", "sslmode": "require",
      "channel_binding": "require"}),
    ("PGPASSWORD=p psql -h dpg-x.oregon-postgres.render.com -U u d",
     {"host": "dpg-x.oregon-postgres.render.com", "user": "u", "password": "p", "dbname": "d"}),
    ("postgres://avnadmin:p@x.aivencloud.com:12691/defaultdb?sslmode=require",
     {"host": "x.aivencloud.com", "port": "12691", "user": "avnadmin", "password": "p", "dbname": "defaultdb",
      "sslmode": "require"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text[:40] for text, _ in READ])
def test_what_people_paste(text: str, expected: dict[str, str]) -> None:
    assert read_pasted(text).config.libpq_params() == expected


@pytest.mark.parametrize("secret", ["[YOUR-PASSWORD]", "********", "<password>", "•••••", "[your_password]"])
def test_a_placeholder_is_no_password(secret: str) -> None:
    found = read_pasted(f"postgresql://postgres:{secret}@db.x.supabase.co:5432/postgres")
    assert found.config.password is None
    assert "placeholder" in found.notes[0]


@pytest.mark.parametrize("secret", ["a@b", "a/b", "1/b", "a@b:c/d", "a@", "50%25/@"])
def test_a_password_that_was_not_encoded_stays_whole(secret: str) -> None:
    found = read_pasted(f"postgresql://u:{secret}@h:5433/d")
    assert found.config.libpq_params() == PORT | {"password": secret.replace("%25", "%")}
    assert "last @" in found.notes[0]


@pytest.mark.parametrize("secret", ["password", "secret", "pass", "postgres"])
def test_a_weak_password_is_one(secret: str) -> None:
    assert read_pasted(f"postgresql://u:{secret}@h/d").config.password is not None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("hello", "word 1"),
        ("mysql://u:hunter2@h/d", "MySQL"),
        ("DATABASE_URL=postgres://u:hunter%2@h/d", "password"),
        ("postgres://u:hunter2\0@h/d", "NUL"),
        ("postgres://u:hunter2@h/" + "x" * 100_001, "longer"),
        ("psql $DATABASE_URL", "variable of the shell"),
        ("postgresql://hunter/2@h/d@x", "%40"),
        ("psql postgresql://u:hun@hunter@h/d", "%40"),
        ("host=h port=hunter", "port"),
        ("postgresql://u:hunter2@h/d?sslmode=foo", "verify-full"),
        ("password=hunter2", ""),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(text: str, named: str) -> None:
    if text == "password=hunter2":  # libpq reads it: a password and nothing else
        assert read_pasted(text).config.libpq_params() == {"password": "hunter2"}
        return
    with pytest.raises(TradekeepError) as caught:
        read_pasted(text)
    assert named in caught.value.message
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value.diagnostic_info())
    assert "hunter" not in shown


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=80) | st.sampled_from([text for text, _ in READ]).flatmap(
    lambda text: st.integers(0, len(text)).map(lambda at: text[:at] + text[at + 3 :])
))  # fmt: skip
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        config = read_pasted(text).config
    except TradekeepError:
        return
    assert parse_connection(config.url()).backend == config.backend


COMMANDS = [
    ("psql -U u d x", {"user": "u", "dbname": "d"}),
    ("psql -d d u extra", {"user": "u", "dbname": "d"}),
    ("psql --user=u --db d --host h", {"host": "h", "user": "u", "dbname": "d"}),
    ("/usr/lib/postgresql/15/bin/psql -hh", {"host": "h"}),
    ("sudo -iu postgres psql -p 5433 d", {"user": "postgres", "port": "5433", "dbname": "d"}),
    ("sudo -u postgres -H -- psql", {"user": "postgres"}),
    ("su - postgres -c 'psql -p 5433 d'", {"user": "postgres", "port": "5433", "dbname": "d"}),
    ("runuser -u postgres -- psql d", {"user": "postgres", "dbname": "d"}),
    ("docker exec -it pg psql -U u -d d", {"user": "u", "dbname": "d"}),
    ("docker compose exec db psql -U u d", {"user": "u", "dbname": "d"}),
    ("kubectl exec -it pod-0 -- psql -U u -d d", {"user": "u", "dbname": "d"}),
    ("docker run -it --rm -e PGPASSWORD=p postgres:16 psql -h h -U u d", FULL),
    ('$env:PGPASSWORD="p"; psql -h h -U u d', FULL),
    ("set PGPASSWORD=p&& psql -h h -U u d", FULL),
    ('& "C:\\Program Files\\PostgreSQL\\16\\bin\\psql.exe" -h h -U u d', {"host": "h", "user": "u", "dbname": "d"}),
    ("PS C:\\> psql -h h", {"host": "h"}),
    ("psql \\\n  -h h \\\n  -U u d", {"host": "h", "user": "u", "dbname": "d"}),
    ("psql -h h -U u d < dump.sql", {"host": "h", "user": "u", "dbname": "d"}),
    ("psql -h h -U u d -c 'select 1' | less", {"host": "h", "user": "u", "dbname": "d"}),
    ("export PGPASSWORD='p'; psql -h h -U u d", FULL),
    ("psql service=prod", {"service": "prod"}),
    ("psql --set=ON_ERROR_STOP=1 -v a=b -h h", {"host": "h"}),
]


@pytest.mark.parametrize(("text", "expected"), COMMANDS, ids=[text[:40] for text, _ in COMMANDS])
def test_command_lines_as_psql_reads_them(text: str, expected: dict[str, str]) -> None:
    assert parse_connection(text).libpq_params() == expected


@pytest.mark.parametrize(
    "text", ["postgresql://h/psql", "postgresql://h/a psql ", "host=/x/psql", "dbname=psql user=psql"]
)
def test_psql_in_a_connection_string_is_no_command(text: str) -> None:
    assert "psql" in str(parse_connection(text).libpq_params())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+psycopg://u:a/b@h/d", FULL | {"password": "a/b"}),
        ("postgresql+psycopg2://u:a?b#c@h/d", FULL | {"password": "a?b#c"}),
        ("postgresql+asyncpg://u:p@h/d?timeout=5&ssl=verify-full",
         FULL | {"connect_timeout": "5", "sslmode": "verify-full"}),
        ("postgresql+pg8000://u:p@/d?unix_sock=/run/pg/.s.PGSQL.5432", FULL | {"host": "/run/pg"}),
        ("postgresql+psycopg://u:p@[::1]:5433/d", PORT | {"host": "::1"}),
        ("postgresql+psycopg://u:p@h/d?options=-csearch_path%3Da+-cb%3D1", FULL | {"options": "-csearch_path=a -cb=1"}),
        ("postgresql+psycopg://u:p@h1:1,h2:2/d", FULL | {"host": "h1,h2", "port": "1,2"}),
        ("jdbc:postgresql://h/d?user=u&password=p&currentSchema=s&options=-c%20a=b",
         FULL | {"options": "-c search_path=s -c a=b"}),
        ("jdbc:postgresql://h/d?user=u&password=p&ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory", TLS),
        ("jdbc:postgresql://h/d?user=u&password=p&sslmode=require&ssl=true&tcpNoDelay=true&adaptiveFetch=true", TLS),
    ],
)  # fmt: skip
def test_urls_of_other_drivers(text: str, expected: dict[str, str]) -> None:
    assert parse_connection(text).libpq_params() == expected


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://u:hunter2@h/d?hunter=2@x",
        "postgresql+psycopg://u:a@b?hunter2=x@h/d",
        "postgresql+psycopg://u:%ffhunter@h/d",
    ],
)
def test_a_driver_s_url_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(text)
    assert "hunter" not in str(caught.value.diagnostic_info())
