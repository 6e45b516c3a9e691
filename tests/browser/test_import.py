"""One person's way through an import: a file with two bad rows, tried, imported, corrected and imported again."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.settings import DatabaseConfig
from tests.browser.harness import App, Visitor
from tests.explore.test_import_bots import freqtrade_file
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


def choose(person: Visitor, name: str, content: str) -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    person.page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]  # a file's payload
    person.settle()


def counted(cluster: Cluster, config: DatabaseConfig, sql: str) -> int:
    return int(cluster.sql(sql, database=config.database)[0][0])


def test_a_file_with_two_bad_rows(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig
) -> None:
    person = window(connected).open("/import")
    person.wait_for("Upload a file")
    choose(person, "../../fills.csv", HEAD + GOOD + BAD)
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
    with person.page.expect_download() as download:
        person.page.get_by_role("button", name="Download the rows at fault").click()
    listed = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert [row["row"] for row in listed] == ["21", "22"]
    assert "one of BUY, SELL" in listed[0]["reason"]
    person.settle()
    choose(person, "fills.csv", HEAD + GOOD + BAD.replace("hodl", "sell").replace("-1,=1+1", "1,7"))
    person.click("Import into trades")
    person.wait_for("2 new, 0 changed, 20 there already, 0 at fault", timeout_s=60)
    assert counted(cluster, migrated, "SELECT count(*) FROM trades") == 22
    assert list((connected.home / "imports").iterdir()) != []
    person.go("Explorer")


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
    # Nor does the server take it from somebody who does not ask the page.
    status = 0
    connection = http.client.HTTPConnection("127.0.0.1", connected.port, timeout=20)
    with contextlib.suppress(OSError):
        connection.putrequest("PUT", "/_stcore/upload_file/none/none")
        connection.putheader("Content-Length", str(1 << 30))
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.endheaders()
        status = connection.getresponse().status
    connection.close()
    assert status >= 400
    assert psutil.Process(connected.process.pid).memory_info().rss - before < 30 << 20
