"""The journey of somebody who does not know the password: looked for, used unseen, a weak one changed, reset told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.harness import App, Visitor
from tests.servers import Cluster

pytestmark = [pytest.mark.browser, pytest.mark.long]


def at_sign_in(visitor: Visitor, cluster: Cluster) -> Visitor:
    visitor.open("/setup").click("Use my server")
    visitor.wait_for("1 Server")
    visitor.fill("Host", "127.0.0.1").fill("Port", str(cluster.port)).click("Continue")
    visitor.wait_for("Database to sign in to")
    return visitor


def traffic(visitor: Visitor) -> list[str]:
    """Every text that the page's websocket carries from now on, and every address that is asked."""
    seen: list[str] = []
    visitor.page.on("request", lambda request: seen.append(request.url))
    visitor.page.on(
        "websocket",
        lambda socket: [
            socket.on(kind, lambda frame: seen.append(frame if isinstance(frame, str) else frame.decode("latin-1")))
            for kind in ("framesent", "framereceived")
        ],
    )
    return seen


def test_a_wrong_password_was_pasted_and_the_right_one_is_found_and_never_seen(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app()
    (app.project / ".env").write_text("POSTGRES_PASSWORD=Wr0ng-planted\n")
    file = app.project.parent / ".pgpass"
    file.write_text(f"# by hand\nlocalhost:{own_cluster.port}:*:postgres:{own_cluster.password}\n")
    file.chmod(0o600)
    visitor = window(app, width=390)
    seen = traffic(visitor)
    visitor.open("/setup").click("Use my server")

    # What was pasted fills fields that stay editable.
    visitor.page.get_by_text("Paste a connection string").click()
    pasted = f"Host=db.invalid;Port={own_cluster.port};Username=postgres;Password=Also-planted"
    visitor.fill("Connection string", pasted)
    visitor.page.wait_for_timeout(500)  # a form takes up what was typed a moment after the field was left
    visitor.click("Fill in")
    expect(visitor.page.get_by_label("Port", exact=True)).to_have_value(str(own_cluster.port))
    expect(visitor.page.get_by_label("Host", exact=True)).to_have_value("db.invalid")
    visitor.fill("Host", "127.0.0.1").click("Continue")

    # Its password belongs to another host, so it is asked for again; a wrong one leads to the way to a new one.
    visitor.fill("Password", "Also-planted").click("Test the connection")
    visitor.wait_for("Set a new password for postgres").click()
    visitor.wait_for("as the server's own account")
    assert "\\password postgres" in visitor.text()
    assert not visitor.overflows()

    visitor.click("Change the sign-in").click("Look for a password")
    visitor.page.get_by_role("button", name="Use", exact=True).wait_for()  # the progress names the places, too
    text = visitor.settle().text()
    assert text.index(".env, POSTGRES_PASSWORD") < text.index("~/.pgpass, line 2")
    assert "does not work" in text
    assert not visitor.overflows()
    seen.clear()  # what was typed above went to the server
    visitor.click("Use")
    visitor.wait_for("Create role trading_owner")
    visitor.page.get_by_text("What the test found").click()
    visitor.wait_for("Every right that Tradekeep uses")
    everything = visitor.page.content() + app.log() + "".join(p.read_text() for p in app.home.rglob("*.jsonl"))
    for secret in (own_cluster.password, "Wr0ng-planted", "Also-planted"):
        assert secret not in everything
        assert not [frame for frame in seen if secret in frame]


def test_a_default_password_is_a_danger_and_is_changed(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    own_cluster.sql("ALTER ROLE postgres PASSWORD 'postgres'")
    app = start_app()
    visitor = at_sign_in(window(app, scheme="dark"), own_cluster).click("Look for a password")
    visitor.wait_for("everybody tries first")
    visitor.click("Change it")
    visitor.wait_for("Put it into your password store now")
    new = visitor.page.get_by_test_id("stCode").last.inner_text().strip()
    assert len(new) >= 30
    expect(visitor.page.get_by_role("button", name="Set the new password")).to_be_disabled()
    visitor.page.get_by_text("I have stored it").click()
    visitor.settle().click("Set the new password")
    visitor.wait_for("Create role trading_owner")
    own_cluster.password = new
    assert own_cluster.sql("SELECT 1") == [(1,)]
    logs = app.log() + "".join(p.read_text() for p in app.home.rglob("*.jsonl"))
    assert new not in visitor.page.content() + logs + own_cluster.log.read_text()


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The app of a test has a home of its own; so has what runs beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
