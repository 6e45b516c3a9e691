"""The page as a test opens it."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


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
