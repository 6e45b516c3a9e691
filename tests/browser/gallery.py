"""Every kind of widget behind the product's middleware: the content policy must let all of them work."""

import pandas as pd
import plotly.express as px
import streamlit as st
from streamlit import runtime

if __name__ == "__main__" and runtime.exists():
    import altair as alt

    from core.ui import theme

    st.set_page_config(page_icon=str(theme.ICON), layout="wide")
    page = st.navigation({"Start": [st.Page(lambda: None, title="Gallery", icon=":material/space_dashboard:")]})
    theme.dress()
    page.run()
    if "fail" in st.query_params:
        raise RuntimeError("connect to postgresql://trader:hunter22@localhost/x failed")
    days = pd.date_range("2026-01-01", periods=30)
    frame = pd.DataFrame({"day": days, "equity": [100 + i * i % 37 for i in range(30)]})
    frame["symbol"] = ["BTC", "ETH", "SOL"] * 10
    st.title("Gallery", help="A help text")
    st.caption(
        "Caption with `code`, a [link](/gallery), :green[:material/check_circle: Connected], :red[down], :gray[grey]"
    )
    with st.container(horizontal=True):
        st.badge("Connected", icon=":material/check_circle:", color="green")
        st.badge("Demo", icon=":material/science:", color="orange")
        st.badge("Down", icon=":material/error:", color="red")
        st.badge("Info", icon=":material/info:", color="blue")
    for column, label in zip(st.columns(4), ("Equity", "P&L today", "Open positions", "Alerts"), strict=True):
        column.metric(label, "12,345.67 USD", "1.2%", border=True, chart_data=list(frame.equity), help="Formula")
    st.info("Info", icon=":material/info:")
    st.success("Success", icon=":material/check_circle:")
    st.warning("Warning", icon=":material/warning:")
    st.error("Error", icon=":material/error:")
    left, right = st.columns(2)
    with left:
        st.subheader("Inputs")
        with st.form("form"):
            st.text_input("Host", "localhost", help="Where the server listens")
            st.text_input("Password", type="password")
            st.number_input("Port", value=5432)
            st.selectbox("SSL mode", ["prefer", "require", "verify-full"])
            st.multiselect("Symbols", ["BTC", "ETH", "SOL"], ["BTC"])
            st.form_submit_button("Continue", type="primary")
        st.button("Secondary")
        st.button("Tertiary", type="tertiary")
        st.segmented_control("Range", ["1 d", "7 d", "30 d"], default="7 d")
        st.pills("Filter", ["open", "closed"], default="open")
        st.checkbox("Checkbox", True)
        st.toggle("Toggle", True)
        st.radio("Radio", ["a", "b"], horizontal=True)
        st.slider("Slider", 0, 100, 40)
        st.date_input("Date")
        st.file_uploader("Upload")
        st.download_button("Download", "text", "file.txt")
        with st.popover("Popover"):
            st.write("Inside")
    with right:
        st.subheader("Output")
        st.dataframe(frame, height=220)
        st.data_editor(frame.head(3))
        st.code("select 1;\n-- comment\ncreate table trades (id bigint not null);", language="sql")
        st.code("postgresql://trader:***@localhost:5432/trading", language=None)
        st.json({"a": [1, 2, {"b": None}]})
        st.table(frame.head(2))
        st.progress(0.4, "Migrating")
        with st.status("Creating the schema", expanded=True, state="running"):
            st.write("trades")
        with st.expander("Technical details"):
            st.code("SQLSTATE 28P01")
        with st.container(border=True):
            st.write("**Next step**")
            st.write("Start a local PostgreSQL")
        tabs = st.tabs(["One", "Two"])
        tabs[0].write("Tab")
        st.latex("a^2")
    st.subheader("Charts")
    a, b = st.columns(2)
    a.line_chart(frame, x="day", y="equity", color="symbol")
    area = alt.Chart(frame).transform_calculate(twice="datum.equity * 2").mark_area(opacity=0.4)
    a.altair_chart(area.encode(x="day:T", y="twice:Q", tooltip=["day:T"]).interactive())
    b.plotly_chart(px.line(frame, x="day", y="equity", color="symbol"), key="plotly")
    b.plotly_chart(px.bar(frame, x="day", y="equity", color="symbol"), key="bars")
    st.mermaid_chart("erDiagram\n  usr_users ||--o{ usr_auth_identities : has\n  usr_users { bigint id PK }")
    with st.sidebar:
        st.caption("Connected")
    if st.button("Dialog"):
        st.dialog("Delete the table trades")(lambda: st.text_input("Type its name"))()
    st.toast("Toast")
else:
    from core.api import ROUTES, lifespan
    from core.ui.server import MIDDLEWARE, clean_logs, on_script_error

    clean_logs()
    app = st.App(__file__, routes=ROUTES, lifespan=lifespan, middleware=MIDDLEWARE, on_script_error=on_script_error)
