"""One person's way through an import: a file with two bad rows, tried, imported, corrected and imported again."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import expect

from core.settings import DatabaseConfig
from tests.browser.harness import App, Visitor
from tests.explore.test_import_bots import freqtrade_file
from tests.explore.test_import_rules import ROUND_TRIPS
from tests.servers import Cluster

__all__ = ["freqtrade_file"]
pytestmark = pytest.mark.browser
IMAGE = "![x](http://evil.example/x.png)"
HEAD = "time,pair,side,amount,price,currency,order_id,note\n"
GOOD = "".join(f"2024-01-01T00:00:{n:02}Z,BTC/USDT,buy,1.5,{100 + n},USDT,o{n},{IMAGE}\n" for n in range(20))
BAD = f"2024-01-01T00:01:00Z,BTC/USDT,hodl,1,1,USDT,p1,{IMAGE}\n2024-01-01T00:01:01Z,{IMAGE},buy,-1,=1+1,USDT,p2,\n"


@pytest.fixture
def connected(start_app: Callable[..., App], migrated: DatabaseConfig) -> App:
    return start_app(env={"DATABASE_URL": migrated.url()})


def rows_of(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode())))


def counted(cluster: Cluster, config: DatabaseConfig, sql: str) -> int:
    return int(cluster.sql(sql, database=config.database)[0][0])


def test_a_file_with_two_bad_rows(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig
) -> None:
    person = window(connected).open("/import")
    person.wait_for("Upload a file")
    person.upload("../../fills.csv", (HEAD + GOOD + BAD).encode())
    person.wait_for("fills.csv")
    assert not list(connected.home.parent.rglob("fills.csv"))
    person.wait_for("Columns: 7 of 8 are known")
    person.click("Try without writing")
    person.wait_for("Nothing was written", timeout_s=60)
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == 0
    person.click("Import into trades")
    person.wait_for("Imported", timeout_s=60)
    person.wait_for("20 new, 0 changed, 0 there already, 2 at fault")
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == 20
    listed = rows_of(person.download("Download the rows at fault"))
    assert [row["row"] for row in listed] == ["21", "22"]
    assert "one of BUY, SELL" in listed[0]["reason"]
    assert [row["order_id"] for row in rows_of(person.download("Download them to correct"))] == ["p1", "p2"]
    person.settle()
    person.upload("fills.csv", (HEAD + GOOD + BAD.replace("hodl", "sell").replace("-1,=1+1", "1,7")).encode())
    person.click("Import into trades")
    person.wait_for("2 new, 0 changed, 20 there already, 0 at fault", timeout_s=60)
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == 22
    assert list((connected.home / "imports").iterdir()) != []
    person.go("Explorer")
    person.open("/explorer?table=trades&q=BTC").click("Download")
    person.click("Prepare the file", exact=False)
    person.page.get_by_role("link", name=".csv").wait_for()
    taken = "SELECT details ->> 'rows', details ->> 'search' FROM webui_audit_logs WHERE action = 'export'"
    assert cluster.sql(taken, database=migrated.database) == [("21", "BTC")]


def test_a_bots_database_on_a_phone(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig, freqtrade_file: Path
) -> None:
    person = window(connected, scheme="dark", width=390).open("/import")
    person.page.get_by_text("A file on this machine").click()
    person.settle()
    person.fill("Path", str(freqtrade_file))
    person.wait_for("It becomes one bot")
    person.click("Import the bot")
    person.wait_for("Not carried over", timeout_s=60)
    person.wait_for("trading_trades: 3 new")
    assert counted(cluster, migrated, "SELECT count(*) FROM trading_trades") == 3
    person.fill("Path", str(freqtrade_file) + ".missing")
    person.wait_for("There is no file")


# Every batch but the first one waits for whoever holds the lock.
GATE = """
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
  IF EXISTS (SELECT FROM trades WHERE created_at <> now()) THEN
    PERFORM pg_advisory_xact_lock_shared(4711); END IF; RETURN NULL; END'
"""


@pytest.mark.long
def test_a_cancelled_import_says_how_many_rows_are_in(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig, tmp_path: Path
) -> None:
    total, batch = 120_000, 50_000
    file = tmp_path / "many.csv"
    file.write_text(HEAD + "".join(f"{1_704_067_200 + n},X,buy,1,1,USDT,{n},\n" for n in range(total)))
    gate = "CREATE TRIGGER gate AFTER INSERT ON trades FOR EACH STATEMENT EXECUTE FUNCTION gate()"
    cluster.sql(GATE, gate, database=migrated.database)
    person = window(connected).open("/import")
    person.page.get_by_text("A file on this machine").click()
    person.settle().fill("Path", str(file))
    person.wait_for("Columns: 7 of 8 are known")
    with cluster.connect(migrated.database) as holder:
        holder.execute("SELECT pg_advisory_lock(4711)")
        person.click("Import into trades")
        person.wait_for("50,000 rows in the table, 0 at fault", timeout_s=60)
        assert counted(cluster, migrated, "SELECT count(*) FROM trades") == batch
        cancel = person.page.get_by_role("button", name="Cancel")
        cancel.click()
        expect(cancel).to_be_disabled()
        holder.execute("SELECT pg_advisory_unlock(4711)")
    person.wait_for("Cancelled: Importing many.csv into trades", timeout_s=60)
    person.wait_for("100,000 rows in the table, 0 at fault.")
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == 2 * batch
    cluster.sql("DROP TRIGGER gate ON trades", database=migrated.database)
    person.click("Import into trades")
    person.wait_for("20,000 new, 0 changed, 100,000 there already, 0 at fault", timeout_s=60)
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == total


@pytest.mark.long
def test_round_trips_go_to_a_bot_that_they_make(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig
) -> None:
    person = window(connected).open("/import")
    person.wait_for("Upload a file")
    person.upload("rt.csv", ROUND_TRIPS.encode())
    person.wait_for("Columns: 9 of 9 are known")
    go = person.page.get_by_role("button", name="Import into trading_trades")
    expect(go).to_be_disabled()
    person.wait_for("trading_trades needs a bot.")
    bot = person.page.get_by_role("combobox", name="Bot whose rows they are")
    bot.fill("Ada's grid")
    bot.press("Enter")
    person.settle().wait_for("There is no bot Ada's grid yet")
    person.page.get_by_role("combobox", name="More that is the same for every row").click()
    person.page.keyboard.type("strategy_name")
    person.page.get_by_role("option", name="strategy_name", exact=True).click()
    person.page.keyboard.press("Escape")  # the list stays open over the rest
    person.settle()
    strategy = person.page.get_by_role("textbox", name="the same for every row").last
    strategy.fill("grid")
    strategy.press("Tab")
    person.settle()
    # Neither the file nor what was chosen is lost on another page.
    person.go("Portfolio").go("Import").wait_for("rt.csv is still here")
    assert bot.input_value() == "Ada's grid"
    person.click("Import into trading_trades")
    person.wait_for("3 new, 0 changed, 0 there already, 0 at fault", timeout_s=60)
    sql = "SELECT b.name, t.strategy_name, t.direction, t.status FROM trading_trades t JOIN trading_bots b"
    assert cluster.sql(f"{sql} ON b.id = t.bot_id ORDER BY t.symbol", database=migrated.database) == [
        ("Ada's grid", "grid", "LONG", "CLOSED"),
        ("Ada's grid", "grid", "SHORT", "CLOSED"),
        ("Ada's grid", "grid", "SHORT", "OPEN"),
    ]
    # The next file is not told what became of this one.
    person.upload("cities.csv", b"city,population\nBerlin,3600000\n")
    person.wait_for("No table has columns like these: city, population.")
    assert "3 new" not in person.text()
    person.upload("fills.csv", (HEAD.replace(",", ";") + "01/02/2024;X;buy;0,5;1;USDT;a;b\n").encode())
    person.wait_for("1 of 8 columns is left out: note.")
    person.page.get_by_text("Decimal comma").click()
    person.settle()
    person.page.get_by_text("a day of February").click()
    person.settle().click("Import into trades")
    person.wait_for("1 new, 0 changed, 0 there already, 0 at fault", timeout_s=60)
    assert cluster.sql("SELECT quantity::text, executed_at::date::text, status FROM trades",
                       database=migrated.database) == [("0.5000000000", "2024-02-01", "FILLED")]  # fmt: skip


def test_a_role_that_may_only_read_is_told_what_it_lacks(
    start_app: Callable[..., App], window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig
) -> None:
    cluster.sql(
        "CREATE ROLE only_looks LOGIN PASSWORD 'only-looks-4711'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO only_looks",
        database=migrated.database,
    )
    try:
        config = cluster.config(migrated.database, user="only_looks", password="only-looks-4711")
        person = window(start_app(env={"DATABASE_URL": config.url()}), width=390).open("/import")
        person.wait_for("The role only_looks may only read")
        shown = person.page.get_by_test_id("stCode").inner_text().strip()
        assert shown.splitlines() == [
            "GRANT INSERT, UPDATE ON TABLE public.trades TO only_looks;",
            "GRANT USAGE ON SEQUENCE public.trades_id_seq TO only_looks;",
        ]
        assert "Traceback" not in person.text()
        cluster.sql(*shown.splitlines(), database=migrated.database)
        person.click("Look again", exact=False)
        person.upload("fills.csv", (HEAD + GOOD).encode())
        person.wait_for("Columns: 7 of 8 are known")
        person.click("Import into trades", exact=False)
        person.wait_for("20 new, 0 changed, 0 there already, 0 at fault", timeout_s=60)
        # What it reads through may have lost its rights meanwhile: the card says which.
        cluster.sql("REVOKE INSERT ON trades FROM only_looks", database=migrated.database)
        person.click("Import into trades", exact=False)
        person.wait_for("may not read or write this table", timeout_s=60)
        person.wait_for('GRANT SELECT, INSERT, UPDATE, DELETE ON "trades" TO "only_looks"')
        assert "Traceback" not in person.text()
        person.wait_for("Importing fills.csv into trades")
        person.click("Close")
        assert "may not read or write" not in person.text()
    finally:
        cluster.sql("DROP OWNED BY only_looks", "DROP ROLE only_looks", database=migrated.database)


def test_demo_says_what_it_needs(app: App, window: Callable[..., Visitor]) -> None:
    person = window(app, width=390).open("/import")
    person.wait_for("Demo data is read only")
    person.click("Set up a database", exact=False)
    person.wait_for("Setup")


def test_a_gigabyte_is_refused_before_it_is_sent(
    connected: App, window: Callable[..., Visitor], tmp_path: Path
) -> None:
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(1 << 30)
    person = window(connected).open("/import")
    person.wait_for("Upload a file")
    before = psutil.Process(connected.process.pid).memory_info().rss
    person.page.locator("input[type=file]").set_input_files(huge)
    person.wait_for("File must be")
    assert psutil.Process(connected.process.pid).memory_info().rss - before < 30 << 20
    assert not (connected.home / "imports").exists()
    # Nor does the server take it from somebody who goes past the page's own limit, whether or not he says how much.
    with person.page.expect_request(lambda request: request.method == "PUT") as put:
        person.upload("fills.csv", (HEAD + GOOD).encode())
    path = put.value.url.removeprefix(connected.url).rpartition("/")[0]
    headers = {name: value for name, value in put.value.all_headers().items() if name in ("cookie", "x-xsrftoken")}
    before = psutil.Process(connected.process.pid).memory_info().rss
    assert sent(connected, f"{path}/said", headers | {"Content-Length": str(1 << 30)}) == 413
    assert sent(connected, f"{path}/unsaid", headers | {"Transfer-Encoding": "chunked"}) == 413
    assert psutil.Process(connected.process.pid).memory_info().rss - before < 30 << 20
    assert len(list((connected.home / "imports").iterdir())) == 1


def sent(app: App, path: str, headers: dict[str, str]) -> int:
    """The status of an upload of a gigabyte, in pieces for as long as the server takes them."""
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
    connection.putrequest("PUT", path)
    for name, value in (headers | {"Content-Type": "multipart/form-data; boundary=x"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    if "Transfer-Encoding" in headers:
        head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.csv"\r\n\r\n'
        pieces = itertools.chain([head], itertools.repeat(bytes(1 << 20), 1 << 10))
        with contextlib.suppress(OSError):  # it hangs up once it was too much
            for piece in pieces:
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    try:
        return connection.getresponse().status
    finally:
        connection.close()
