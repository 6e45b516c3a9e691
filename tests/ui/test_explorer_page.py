"""The Explorer in the states that it has, run from app.py as a browser session runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import envfile, state
from core.database import Database, session
from core.explore import page_of_rows
from core.explore.saved import FILE
from core.settings import DatabaseConfig
from core.state import Status
from tests.servers import Cluster, free_port
from tests.ui.conftest import ROOT, a_minute_passes, words

Configured = Callable[[DatabaseConfig], None]
When = Callable[[Callable[[Status], bool]], Status]


def explorer(query: str = "") -> AppTest:
    """The page with these parameters: name=value&name=value."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        app.query_params[name] = value
    app.switch_page("pages/explorer.py").run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return words(app).replace("\\", "")


def test_demo_shows_tables_and_a_made_view(project: Path, when: When) -> None:
    when(lambda status: status.mode == "demo")
    (listed,) = explorer().dataframe
    assert {"trades", "candles"} <= set(listed.value["Table"])
    app = explorer("table=alerts")
    assert "Demo data is read only" in said(app)
    assert app.button(key="explorer_resolve").disabled
    styles = app.dataframe[0].proto.arrow_data.styler.styles
    assert "_row2_col0" in styles
    assert "color: None" not in styles


def test_browser_is_told_what_the_address_says_in_every_run(project: Path, when: When) -> None:
    when(lambda status: status.mode == "demo")
    app = explorer("table=trades&q=BTC").run()  # the run before may have been cut short
    search = app.text_input(key="explorer_search")
    assert (search.value, search.proto.value, search.proto.set_value) == ("BTC", "BTC", True)


def test_an_address_without_sense_leads_to_its_table(project: Path, when: When) -> None:
    when(lambda status: status.mode == "demo")
    app = explorer("table=trades&where=[broken")
    assert "The address holds" in said(app)
    app.button(key="explorer_anew").click().run()
    assert "where" not in app.query_params
    assert len(app.dataframe[0].value) == 500


def test_database_without_tables_says_what_is_next(
    project: Path, pg_database: DatabaseConfig, configured: Configured, when: When
) -> None:
    configured(pg_database)
    when(lambda status: status.mode == "connected")
    assert "There is no table here that this role may read." in said(explorer())


def test_empty_table_and_filter_without_rows_say_so(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    configured(migrated)
    when(lambda status: status.mode == "connected")
    assert "trades has no rows yet." in said(explorer("table=trades"))
    assert "No row matches." in said(explorer('table=trades&where=["symbol","=","X"]'))
    assert "There are no rows" not in said(explorer("table=trades"))


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("table=nowhere", "There is no table nowhere here that this role may read"),
        ("table=pg_authi", "There is no table pg_authi here"),
        ('table=trades&where=["nothing","=",1]', "There is no column nothing in trades"),
        ("table=trades&sort=symbol sideways", "This filter cannot be applied"),
        ("table=trades&after=x", "This place in the table is not known"),
    ],
)
def test_link_that_leads_nowhere_is_a_card(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When, query: str, title: str
) -> None:
    configured(migrated)
    when(lambda status: status.mode == "connected")
    text = said(explorer(query))
    assert title in text
    assert "What to do" in text


@pytest.mark.parametrize(
    ("query", "label", "left"),
    [
        ("table=trades&sort=nosuch asc", "Remove nosuch from the order", {"table": "trades"}),
        ('table=trades&show=["nope","id"]', "Remove nope from the columns", {"table": "trades", "show": '["id"]'}),
        ("table=trades&sort=symbl asc", "Use symbol", {"table": "trades", "sort": "symbol asc"}),
        ("table=trads", "Open trades", {"table": "trades"}),
        ("table=nosuch", "Show all tables", {}),
    ],
)
def test_name_that_is_not_there_has_a_way_out(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When, query: str, label: str, left: object
) -> None:
    configured(migrated)
    when(lambda status: status.mode == "connected")
    app = explorer(query)
    assert "python -m core migrate" not in said(app)
    assert ("Did you mean" in said(app)) is label.startswith(("Use", "Open"))
    next(one for one in app.button if one.label == label).click().run()
    assert dict(app.query_params) == left
    assert "What to do" not in said(app)


def test_table_and_column_that_the_schema_should_have_lead_to_its_upgrade(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    with Database(migrated) as db, db.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE trades DROP COLUMN strategy")
        connection.exec_driver_sql("DROP TABLE msg_system_health")
    configured(migrated)
    when(lambda status: status.mode == "connected")
    assert "A column is missing" in said(explorer("table=trades&sort=strategy asc"))
    assert "A table is missing" in said(explorer("table=msg_system_health"))


def test_database_that_was_never_reached_is_a_card(project: Path, configured: Configured, when: When) -> None:
    configured(DatabaseConfig(host="127.0.0.1", port=free_port(), database="trading", user="bot"))
    (project / ".env.tradekeep").write_text("DB_RETRY_ATTEMPTS=1\n")
    when(lambda status: status.mode == "down")
    app = explorer("table=trades")
    assert "What to do" in said(app)
    assert not app.dataframe
    assert "explorer_to_first" not in {one.key for one in app.button}


def test_outage_keeps_the_last_page_with_its_age(
    project: Path, own_cluster: Cluster, own_migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    own_cluster.sql(
        "INSERT INTO alerts (alert_type, severity, message, timestamp) "
        "SELECT 'gap', 'INFO', CASE n WHEN 1 THEN 'Still here' ELSE 'x' END, now() - n * interval '1 s' "
        "FROM generate_series(1, 150) n"
    )
    configured(own_migrated)
    when(lambda status: status.mode == "connected")
    app = explorer("table=alerts&limit=100")
    assert [*app.dataframe[0].value.iloc[0]][3] == "Still here"
    own_cluster.stop("immediate")
    when(lambda status: status.mode in ("connecting", "down"))
    a_minute_passes()
    app.run()
    assert not app.exception
    assert [*app.dataframe[0].value.iloc[0]][3] == "Still here"
    assert "Fresh data comes by itself" in said(app)
    app.button(key="explorer_next").click().run()
    assert [*app.dataframe[0].value.iloc[0]][3] == "Still here"
    assert "the page you came from" in said(app)
    assert "Rows **1–100**" in said(app)
    assert said(app).count("Last good data") == 1
    assert app.button(key="explorer_resolve").disabled
    assert "explorer_count" not in {one.key for one in app.button}

    app.query_params["where"] = '["severity","=","CRITICAL"]'
    app.query_params["sort"] = "message asc"
    app.query_params["show"] = '["message"]'
    app.run()
    assert list(app.dataframe[0].value.iloc[0])[3] == "Still here"
    assert "severity is CRITICAL" in said(app)
    assert "**These rows are not what you asked for.**" in said(app)
    assert "the change of filter, order and columns is not applied yet" in said(app)
    assert "Last good data" not in said(app)
    assert [app.button(key=f"explorer_{way}").disabled for way in ("first", "previous", "next")] == [True] * 3
    assert "explorer_to_first" not in {one.key for one in app.button}
    app.query_params = {"table": "positions"}
    app.run()
    assert "What to do" in said(app)
    assert ("explorer_to_first" in {one.key for one in app.button}, app.dataframe.len) == (False, 0)
    assert "Last good data" not in said(app)

    app.query_params = {"table": "alerts", "limit": "100", "sort": "timestamp asc"}
    own_cluster.start()
    when(lambda status: status.mode == "connected")
    app.run()
    assert "sorted by timestamp ↑" in said(app)
    assert [*app.dataframe[0].value.iloc[-1]][3] != "Still here"
    assert not {"not what you asked for", "Last good data"} & set(said(app).split("."))


def test_question_that_takes_too_long_is_not_taken_for_an_outage(
    project: Path, cluster: Cluster, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    cluster.sql("INSERT INTO alerts (alert_type, severity, message) VALUES ('a', 'INFO', 'b')",
                database=migrated.database)  # fmt: skip
    configured(migrated)
    (project / ".env.tradekeep").write_text("DB_STATEMENT_TIMEOUT_S=1\n")
    when(lambda status: status.mode == "connected")
    app = explorer("table=alerts")
    assert app.dataframe
    with cluster.connect(migrated.database) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE alerts IN ACCESS EXCLUSIVE MODE")
        app.query_params["sort"] = "message asc"
        app.run()
        holder.execute("ROLLBACK")
    assert "What to do" in said(app)
    assert "not what you asked for" not in said(app)
    app.button(key="explorer_to_first").click().run()
    assert app.dataframe


def test_database_of_somebody_else_with_500_tables_is_listed_and_opened(
    project: Path, pg_database: DatabaseConfig, configured: Configured, when: When
) -> None:
    with session(pg_database) as connection:
        connection.execute(
            "DO $$ BEGIN FOR n IN 1..500 LOOP"
            " EXECUTE format('CREATE TABLE theirs_%s AS SELECT g AS id, %s AS n FROM generate_series(1, 3) g', n, n);"
            " END LOOP; END $$"
        )
    configured(pg_database)
    when(lambda status: status.mode == "connected")
    (listed,) = explorer().dataframe
    assert len(listed.value) == 500
    app = explorer("table=theirs_499")
    assert "Rows **1–3** of 3" in said(app)
    assert len(app.dataframe[0].value) == 3


def test_odd_tables_of_a_sqlite_file_are_listed_and_opened(
    project: Path, migrated_sqlite: DatabaseConfig, configured: Configured, when: When
) -> None:
    with Database(migrated_sqlite) as db, db.connect() as connection:
        for sql in (
            "CREATE TABLE named (rowid text)",
            "INSERT INTO named VALUES ('abe')",
            "CREATE TABLE times (id integer PRIMARY KEY, at datetime)",
            "INSERT INTO times VALUES (1, '2024-13-45 99:00:00'), (2, '2024-01-01 10:00:00')",
        ):
            connection.exec_driver_sql(sql)
    configured(migrated_sqlite)
    when(lambda status: status.mode == "connected")
    assert {"named", "times"} <= set(explorer().dataframe[0].value["Table"])
    views = state.settings().home / FILE
    views.write_text('{"mine": "table=times",}')
    app = explorer("table=times")
    assert app.dataframe[0].value["c1"].tolist() == ["2024-13-45 99:00:00", "2024-01-01 10:00:00"]
    assert f"{views} cannot be read. Mend it and call it {FILE} to have its views back." in said(app)


def test_old_link_to_the_end_does_not_say_how_many_rows_there_are(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    with Database(migrated) as db:
        with db.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE shrunk (id int PRIMARY KEY)")
            connection.exec_driver_sql("INSERT INTO shrunk SELECT generate_series(1, 12)")
        place = page_of_rows(db, "shrunk", limit=10).last
        with db.connect() as connection:
            connection.exec_driver_sql("DELETE FROM shrunk WHERE id <= 5")
    configured(migrated)
    when(lambda status: status.mode == "connected")
    app = explorer(f"table=shrunk&after={place}&at=11")
    assert "Rows **11–12** of ~12" in said(app)
    app.button(key="explorer_count").click().run()
    assert "Rows **6–7** of 7" in said(app)


def test_facet_of_every_type_is_a_filter_that_finds_its_rows(
    project: Path, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    with Database(migrated) as db, db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE waits (wait interval)")
        connection.exec_driver_sql("INSERT INTO waits VALUES ('1 mon'), ('1 mon'), ('3 days')")
    configured(migrated)
    when(lambda status: status.mode == "connected")
    app = explorer("table=waits")
    app.session_state["explorer_filter_open"] = True
    app.run()
    app.button(key="explorer_facet_0").click().run()
    assert "wait is 1 mon" in said(app)
    assert "Rows **1–2** of 2" in said(app)


def test_role_that_may_only_read_sees_why_it_cannot_resolve(
    project: Path, cluster: Cluster, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    grants = ("CREATE ROLE reads LOGIN PASSWORD 'reads'", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reads")
    cluster.sql(
        *grants, "INSERT INTO alerts (alert_type, severity, message) VALUES ('a', 'INFO', 'b')",
        database=migrated.database,
    )  # fmt: skip
    try:
        configured(cluster.config(migrated.database, user="reads", password="reads"))
        when(lambda status: status.mode == "connected")
        app = explorer("table=alerts")
        assert (
            "The role reads may not change alerts and note it in the audit log. Ask whoever set up the database"
            in said(app)
        )
        assert app.button(key="explorer_resolve").disabled
    finally:
        state.stop()
        cluster.sql("DROP OWNED BY reads", "DROP ROLE reads", database=migrated.database)


def test_refused_login_of_the_writer_is_a_caption_beside_live_rows(
    project: Path, cluster: Cluster, migrated: DatabaseConfig, configured: Configured, when: When
) -> None:
    one = "INSERT INTO alerts (alert_type, severity, message) VALUES ('a', 'INFO', 'b')"
    cluster.sql(one, "CREATE ROLE wrong LOGIN PASSWORD 'right'", database=migrated.database)
    refused = cluster.config(migrated.database, user="wrong", password="wrong")
    try:
        configured(refused)
        envfile.set_values(project / ".env.local", {"DATABASE_VIEWER_URL": migrated.url()})
        when(lambda status: status.mode == "down")
        app = explorer("table=alerts")
        assert app.button(key="explorer_resolve").disabled
        assert "Alerts cannot be resolved now: Name or password is not right." in said(app)
        assert "What to do" not in said(app)
        cluster.sql(one, database=migrated.database)
        assert len(app.run().dataframe[0].value) == 2  # as they are now, so that there is no age to tell
    finally:
        state.stop()
        cluster.sql("DROP ROLE wrong")


def test_format_of_a_download_stays_while_files_are_written(project: Path, when: When) -> None:
    when(lambda status: status.mode == "demo")
    app = explorer("table=positions")
    app.session_state["explorer_download_open"] = True
    app.run()
    app.button_group(key="explorer_format").set_value("jsonl").run()
    app.button(key="explorer_export").click().run()
    for _ in range(100):
        if "explorer_export" in {one.key for one in app.run().button}:
            break
    assert ".jsonl" in app.get("link_button")[0].proto.label.replace("\\", "")
    assert app.session_state["explorer_format"] == "jsonl"
