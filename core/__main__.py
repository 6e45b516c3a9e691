"""The command line: `python -m core COMMAND [--project DIR] [--json]`; the same functions as the pages."""

from __future__ import annotations

import itertools
import signal
import sys

import typer

from core.commands import app_for
from core.errors import TradekeepError
from core.terminal import Terminal

INTERRUPTED = 130  # what typer makes of Ctrl-C


def main() -> int:
    """Run the command that the arguments name; gives its exit code: 0 fine, 1 not, 2 wrong usage."""
    # Whether JSON is wanted must be known even where the arguments cannot be read.
    terminal = Terminal("--json" in itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    try:
        code = int(app_for(sys.argv[1:])(standalone_mode=False) or 0)
    except typer.TyperException as error:
        if said := error.format_message():  # without a command the help was printed already
            context = getattr(error, "ctx", None)
            usage = context.get_usage() if context else ""
            terminal.failed(TradekeepError("config.usage", said, details=usage), beside_json=True)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        terminal.failed(TradekeepError("transient.interrupted"), beside_json=True)
        code = 1
    return code


if __name__ == "__main__":
    exit_code = main()
    # The result is out; the interpreter only tidies up now, and would answer Ctrl-C with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(exit_code)
