"""From the command to the first answer, against a trivial app."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

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
FLOOR = "the same with an app of st.title, st.button and st.write"
WITHIN_S = 60.0
EVERY_S = 0.005


def trivial_app(folder: Path) -> Path:
    """The script of the smallest app that has a widget."""
    script = folder / "trivial.py"
    script.write_text(TRIVIAL, "utf-8")
    return script


@benchmark(n=10)
def start(n: int) -> list[Figure]:
    """`streamlit run app.py` until the first answer with status 200, against a trivial app."""
    with fresh_folder() as folder:
        trivial = trivial_app(folder)
        own, floor = in_turns(
            n,
            lambda: _until_answer(ROOT / "app.py", "/healthz", folder),
            lambda: _until_answer(trivial, "/", folder),
        )
    return [Figure("to the first answer", FLOOR, own, floor, goal=Goal("more", 1.0))]


def _until_answer(script: Path, path: str, folder: Path) -> float:
    """Milliseconds from the start of the process to its first answer."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with (folder / "start.log").open("wb") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env=environment_of(folder), stdout=log, stderr=log)
        try:
            while not _answers(port, path):
                if process.poll() is not None or time.perf_counter() - begin > WITHIN_S:
                    raise RuntimeError((folder / "start.log").read_text("utf-8", "replace"))
                time.sleep(EVERY_S)
            return (time.perf_counter() - begin) * 1000
        finally:
            process.terminate()
            process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
