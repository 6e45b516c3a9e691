"""The page as a test opens it, and what it says."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def words(app: AppTest) -> str:
    """Everything that stands on the page as text, without the marks of markdown."""
    texts = [element.value for element in (*app.title, *app.subheader, *app.markdown, *app.caption)]
    return "\n".join(texts).replace("\\", "")


def shown(app: AppTest, **params: str) -> AppTest:
    """The page again, with this address."""
    for name in list(app.query_params):
        del app.query_params[name]
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))
