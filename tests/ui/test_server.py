"""The logs of the process that serves the pages."""

from __future__ import annotations

import subprocess
import sys

from tests.browser.harness import ROOT

PROGRAM = """
import logging
from core.ui.server import clean_logs
clean_logs()
logging.basicConfig(format="%(name)s %(message)s")
library = logging.getLogger("some.library")
library.error("connecting to %s", "postgresql://trader:hunter22@localhost/x")
try:
    raise RuntimeError("password=hunter22 was refused")
except RuntimeError:
    library.exception("%d tries", 3)
library.error("one argument for two: %s %s", "password=hunter22")
library.error("%s and %d stay as they are", "arguments", 1)
"""


def test_no_library_logs_a_secret() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "hunter22" not in done.stderr
    assert "connecting to postgresql://trader:***@localhost/x" in done.stderr
    assert "RuntimeError: password=***" in done.stderr
    assert "one argument for two" in done.stderr
    assert "some.library arguments and 1 stay as they are" in done.stderr
