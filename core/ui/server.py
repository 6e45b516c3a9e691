"""What the server is given beside the pages: the gate, the last resort for errors, logs without secrets."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import streamlit as st

from core.api import security
from core.errors import classify
from core.log import message_of, redact
from core.ui.cards import error_card

logger = logging.getLogger(__name__)
DOCUMENT = (Path(st.__file__).parent / "static" / "index.html").read_text("utf-8")
MIDDLEWARE = security(st.get_option("server.allowedHosts"), DOCUMENT)


def on_script_error(exc: Exception) -> bool:
    """Log what no page expected and show it as a card; True keeps the trace off the page."""
    error = classify(exc)
    logger.error("a page failed: %s", error.title, exc_info=exc, extra={"code": error.error_code})
    error_card(error)
    return True


def clean_logs() -> None:
    """From now on no record of any library holds a secret: Streamlit and uvicorn log exceptions, too."""
    logging.setLogRecordFactory(_redacted)
    # Streamlit logs what a page raised before it asks on_script_error, which logs it again.
    logging.getLogger("streamlit.error_util").addFilter(lambda record: record.msg != "Uncaught app execution")
    # Calls outside of a session are meant where app.py is imported; each would be a warning.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)


def _redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    try:
        text, fits = record.getMessage(), True
    except (TypeError, ValueError, KeyError):  # the library's own mistake: its caller must not suffer from it
        text, fits = message_of(record), False
    clean = redact(text)
    if clean != text or not fits:
        record.msg, record.args = clean, ()
    if record.exc_info:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record
