"""From the command to the first answer, against a trivial app."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns
from benchmarks.folders import ROOT, environment_of, fresh_folder
from tests.servers import free_port

TRIVIAL = """
import streamlit as st

st.title("Trivial")
st.button("Again")
st.write("Nothing else.")
"""
FLOOR = "the same with an app of st.title, st.button and st.write, and Streamlit's own settings"
WITHIN_S = 60.0
EVERY_S = 0.005


@benchmark(n=10)
def start(n: int) -> list[Figure]:
    """`streamlit run app.py` until the first answer with status 200, against a trivial app."""
    with fresh_folder() as folder, fresh_folder() as small:
        trivial = trivial_app(small)
        own, floor = in_turns(n, lambda: _until_answer(ROOT / "app.py", folder), lambda: _until_answer(trivial, small))
    return [Figure("to the first answer", FLOOR, own, floor, Goal("more", 1.0))]


def _until_answer(script: Path, folder: Path) -> float:
    begin = perf_counter()
    with served(script, folder):
        return (perf_counter() - begin) * 1000


def trivial_app(folder: Path) -> Path:
    """The script of the smallest app that has a widget."""
    script = folder / "trivial.py"
    script.write_text(TRIVIAL, "utf-8")
    return script


@contextmanager
def served(script: Path, folder: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """The address of `streamlit run` of a script, from its first answer on; with the settings beside the script.

    folder: one of `fresh_folder`.
    """
    port, log_file = free_port(), folder / "streamlit.log"
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    deadline = perf_counter() + WITHIN_S
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=script.parent, env=environment_of(folder) | (env or {}), stdout=log, stderr=log
        )
    try:
        while not _answers(port):
            if process.poll() is not None or perf_counter() > deadline:
                raise RuntimeError(f"{script} does not answer\n{log_file.read_text('utf-8', 'replace')}")
            sleep(EVERY_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")  # a trivial app answers every path with its page
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
