"""What a process needs of memory, as Linux counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def memory_mb(what: Literal["VmRSS", "VmHWM"], pid: int | Literal["self"] = "self") -> float:
    """What a process has now (VmRSS) or had at most (VmHWM), in MB. Source: proc_pid_status(5); Linux only."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024
