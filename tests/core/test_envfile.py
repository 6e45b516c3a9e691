"""The text of env files: only the touched line changes, and every reader reads what was written."""

from __future__ import annotations

import shutil
import string
import subprocess
from pathlib import Path

import dotenv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import envfile
from core.envfile.mask import difference
from core.envfile.text import changed, decoded, lines, values_of, written
from core.errors import TradekeepError
from core.settings import DatabaseConfig, config

FAST = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
URL = "postgresql://app:n%40w@db:5432/trade"
PIECES = st.sampled_from(
    ["A=1", "B = 2", "export C=3", "K=old", "K='o l d'", 'K="a\nb"', "# K=1", "K", "'K'=q", "=x", "D: 1", "[s]", "\\",
     "E=x \\", "F='", 'G="', "\r\n", "\n", "\n", "\n", "\r", " ", "\t", "\x0b", "\x85", "\u2028", "\0", "é"]
)  # fmt: skip

TEXT = st.lists(PIECES, max_size=14).map("".join)


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated passwords can be common words, which the redaction would then mask in every later test."""
    monkeypatch.setattr(config, "remember_secret", lambda secret: None)


def sourced(path: Path, key: str, shell: str = "bash") -> str:
    """The key's value after a shell has read the file."""
    script = f'set -a; . "{path}" 2>/dev/null; printenv {key}'
    done = subprocess.run([shell, "-c", script], capture_output=True, check=False, env={"PATH": "/usr/bin:/bin"})
    return done.stdout.decode().removesuffix("\n")


def edited(old: str | bytes, **values: str | None) -> str:
    return decoded(changed(old if isinstance(old, bytes) else old.encode(), values, "file"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "K=v\n"),
        ("\n", "\nK=v\n"),
        ("A=1", "A=1\nK=v\n"),
        ("A=1\r\n", "A=1\r\nK=v\r\n"),
        ("A=1\r\nK=x\r\nB=2\r\n", "A=1\r\nK=v\r\nB=2\r\n"),
        ("A=1\nK=x", "A=1\nK=v"),
        ("export K=x\n", "export K=v\n"),
        ("  export\tK = x # note\n", "  export K=v\n"),
        ("\ufeffK=x\nB=2\n", "K=v\nB=2\n"),
        ("\ufeffA=1\nK=x\n", "\ufeffA=1\nK=v\n"),
        ("K=x\nA=1\nK=y\n", "K=v\nA=1\nK=v\n"),
        ("K\n", "K=v\n"),
        ("'K'=x\n", "K=v\n"),
        ('K="a\nb"\nA=1\n', "K=v\nA=1\n"),
        ("P='one\nK=inside\ntwo'\n", "P='one\nK=inside\ntwo'\nK=v\n"),
        ("# K=x\n", "# K=x\nK=v\n"),
        ("KK=x\nK_=y\n", "KK=x\nK_=y\nK=v\n"),
        ("K='v'\n", "K='v'\n"),
        ('K="v"', 'K="v"'),
        ("K = v\n", "K=v\n"),
        ("K=v # note\n", "K=v\n"),
        ("A=x\\\\\nK=x\n", "A=x\\\\\nK=v\n"),
        ("A=x \\\n\nK=x\n", "A=x \\\n\nK=v\n"),
        ("# x \\\nK=x\n", "# x \\\nK=v\n"),
        ("K=x\nA='oops\n", "K=v\nA='oops\n"),
        ("A=`one`\nK=x\ntwo\n", "A=`one`\nK=v\ntwo\n"),
        ("A=don't\nK=x\n", "A=don't\nK=v\n"),
        ("A=$(cat <<END\nK=inside\nEND\n)\n", None),
        ("A=$(cat <<END\ninside\nEND\n)\nK=x\n", "A=$(cat <<END\ninside\nEND\n)\nK=v\n"),
        ("A=1<<END\nK=x\n", "A=1<<END\nK=v\n"),
        ("A=`one\nK=x\ntwo`\n", None),
        ("K=x \\\n  y\nA=1\n", None),
        ("K=x \\\n\nA=1\n", "K=v\n\nA=1\n"),
        ("K=x\\", "K=v"),
        ("K=x; export K\n", None),
        ("export K=x B=2\n", None),
        ("K=x B=2\n", None),
        ("K=host=h dbname=d user=u password=x\n", "K=v\n"),
        ("K=x # was: B=2\n", "K=v\n"),
        ("K='x B=2'\n", "K=v\n"),
        ("K=postgresql://u:a;b@h/d\n", "K=v\n"),
        ("A.b-c=1\nk=2\nK.x=3\nK=4\n", "A.b-c=1\nk=2\nK.x=3\nK=v\n"),
        ("K: x\n", "K: x\nK=v\n"),
        ("set K=x\n", "set K=x\nK=v\n"),
        ("if true; then\n  K=x\nfi\n", "if true; then\n  K=v\nfi\n"),
        ("\u00a0K=x\n", "K=v\n"),
        ("A=1\rK=x\rB=2\r", "A=1\rK=v\rB=2\r"),
        ("A=1\r\nK=x\nB=2\r\n", "A=1\r\nK=v\nB=2\r\n"),
        ("A=1\n   ", "A=1\n   \nK=v\n"),
        ("A=${K}\nK=${A}\n", "A=${K}\nK=v\n"),
    ],
)
def test_only_the_touched_line_changes(old: str, new: str | None) -> None:
    if new is None:
        with pytest.raises(TradekeepError, match="Line") as caught:
            edited(old, K="v")
        assert caught.value.kind == "config.env_file"
        return
    assert edited(old, K="v") == new
    assert edited(new, K="v") == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A=1\nK=x\nB=2\n", "A=1\nB=2\n"),
        ("\n\nK=x\n", "\n\n"),
        ("K=1\nA=1\nK=2", "A=1\n"),
        ("A=1\n", "A=1\n"),
        ('K="a\nb"\nA=1', "A=1"),
    ],
)
def test_none_removes_the_key(old: str, new: str) -> None:
    assert edited(old, K=None) == new


def test_bytes_that_are_not_utf8_stay() -> None:
    assert changed(b"N=M\xfcller\nK=x\n", {"K": "v"}, "f") == b"N=M\xfcller\nK=v\n"


@pytest.mark.parametrize(
    "data",
    [
        "A=1\nK=x\n".encode("utf-16"),
        "A=1\r\nK=x\r\n".encode("utf-16-be"),
        "A=1\nK=x\n".encode("utf-16-le"),
        "\ufeffA=1\n".encode("utf-32-le"),
        b"\0GITCRYPT\0\x01\x02",
        b"Salted__\x01\x02",
        b"-----BEGIN PGP MESSAGE-----\n",
    ],
)
def test_what_is_no_text_in_utf8_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    for act in (lambda: envfile.set_values(path, {"K": "v"}), lambda: envfile.values(path)):
        with pytest.raises(TradekeepError, match=r"UTF-16|encrypted") as caught:
            act()
        assert caught.value.kind == "config.env_file"
    assert path.read_bytes() == data
    assert len(envfile.problems(path)) == 1


@pytest.mark.parametrize(
    ("old", "line"),
    [
        ("A=1\nB='oops\nK=x\n", "Line 2"),
        ('B="oops\nC=1\n', "Line 1"),
        ('A=1\n\nB="oops\nK=x\nC="2"\n', "Line 3"),
        ("A=x \\\nK=x\n", "Line 1"),
        ("A=x\\", "Line 1"),
    ],
)
def test_lines_that_readers_join_are_refused_by_number(old: str, line: str) -> None:
    with pytest.raises(TradekeepError, match=line) as caught:
        edited(old, K="v")
    assert caught.value.error_type == "config"


@FAST
@given(st.builds(str.__add__, st.sampled_from(["", "\ufeff"]), TEXT), st.sampled_from(["v", "a b", None, URL]))
def test_any_text_keeps_its_other_lines_or_is_refused(old: str, value: str | None) -> None:
    assert "".join(line.lead + line.body + line.ending for line in lines(old)) == old
    try:
        new = edited(old, K=value)
    except TradekeepError:
        return
    assert values_of(new).get("K") == value
    others = [line.body for line in lines(old.removeprefix("\ufeff")) if line.key != "K" and line.body.strip()]
    assert [line.body for line in lines(new.removeprefix("\ufeff")) if line.key != "K" and line.body.strip()] == others
    assert edited(new, K=value) == new


SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_every_reader_reads_what_was_written(tmp_path: Path, value: str) -> None:
    path = tmp_path / "file"
    try:
        envfile.set_values(path, {"K": value})
    except TradekeepError as error:
        kind = error.kind
    else:
        kind = ""
        # Expanding ${...} is python-dotenv's default, so a value must survive that too.
        assert dotenv.dotenv_values(path) == dotenv.dotenv_values(path, interpolate=False) == {"K": value}
        assert envfile.values(path) == {"K": value}
        for shell in SHELLS:
            assert sourced(path, "K", shell) == value
    assert kind in ("", "config.env_value")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40))
def test_url_of_any_password_is_written_bare(tmp_path: Path, password: str) -> None:
    url = DatabaseConfig(host="db", user="u", password=password, database="d", options={"sslmode": "require"}).url()
    assert written("DATABASE_URL", url) == f"DATABASE_URL={url}"
    path = tmp_path / "file"
    envfile.set_values(path, {"DATABASE_URL": url})
    assert sourced(path, "DATABASE_URL") == dotenv.dotenv_values(path)["DATABASE_URL"] == url


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("", "K="),
        ("a b", "K='a b'"),
        ("it's", 'K="it\'s"'),
        ("a#b", "K='a#b'"),
        ("$HOME", "K='$HOME'"),
        ("C:\\certs\\root.crt", "K='C:\\certs\\root.crt'"),
        ("~/x", "K='~/x'"),
        ("é", "K='é'"),
    ],
)
def test_quotation_marks_only_where_needed(value: str, form: str) -> None:
    assert written("K", value) == form


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "${X}", "a\\\\b", "a\\", "'\"", "'$x", "\udc80", "\u2028"])
def test_values_without_a_universal_form_are_refused(value: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        written("K", value)
    assert caught.value.kind == "config.env_value"


@pytest.mark.parametrize("key", ["", "1A", "A B", "A=B", "A-B", "A\n", "é", "A.B", "export A"])
def test_keys_that_shells_cannot_hold_are_refused(key: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        written(key, "x")
    assert caught.value.kind == "config.env_value"


def test_stumbling_blocks_are_found_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\nD: x\nB=M\xfcller\nLONELY\nA=2\nC='oops\n")
    found = dict(envfile.problems(path))
    assert {number: reason.split(";")[0] for number, reason in found.items()} == {
        1: "begins with a byte order mark, which hides the first key from several programs",
        2: "is not of the form KEY=value",
        3: "contains a byte that is not UTF-8",
        4: "is not of the form KEY=value",
        5: "sets A again (first in line 1)",
        6: "opens a quotation mark that is never closed",
    }


SECRETS = b"""\
# old: postgresql://u:hunter2@h/db
# DB_PASSWORD=hunter2
API_TOKEN=hunter2
SMTP_PASS = 'hunter2 x'
CONN="host=h password='hunter2 x' user=u"
REDIS=redis://:hunter2@h/0
HOOK=https://h/x?api_key=hunter2&y=1
GIT=https://hunter2@github.com/x
TLS_KEY="-----BEGIN
hunter2
-----END"
STRIPE=sk_live_hunter2hunter2hunter2
SLACK_WEBHOOK=https://hooks/hunter2
SSL_CERT_PATH=/etc/ssl/x.pem
broken hunter_password = hunter2
A=1
DATABASE_URL=postgresql://u:hunter2@h/db?sslmode=require
"""


def test_preview_masks_every_secret_in_context_too(tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    path.write_bytes(SECRETS)
    shown = difference(SECRETS, changed(SECRETS, {"DATABASE_URL": URL, "A": "2"}, path), ".env.local", context=50)
    assert "hunter2" not in shown
    assert "n%40w" not in shown
    assert "-A=1\n" in shown
    assert "+A=2\n" in shown
    assert "+DATABASE_URL=postgresql://app:***@db:5432/trade\n" in shown
    assert " SSL_CERT_PATH=/etc/ssl/x.pem\n" in shown
    assert len(shown.splitlines()) == 3 + SECRETS.count(b"\n") + 2
    assert path.read_bytes() == SECRETS


def test_preview_of_no_change_is_empty_and_a_changed_password_is_seen(tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    assert envfile.preview(path, {}) == ""
    assert envfile.preview(path, {"K": "1"}) == "--- .env.local\n+++ .env.local\n@@ -1,0 +1,1 @@\n+K=1\n"
    path.write_text("PASSWORD=" + string.ascii_letters)
    assert envfile.preview(path, {"PASSWORD": "other"}).count("PASSWORD=***") == 2
