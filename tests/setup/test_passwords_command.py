"""`python -m core passwords`: every place by name, no secret, and what to do where none works."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests import prepared
from tests.servers import Cluster

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, in the test's own home."""
    return prepared.run("core", "passwords", "--project", str(Path.cwd()), *arguments, cwd=ROOT, env=os.environ)


def test_a_found_password_ends_with_zero_and_is_not_printed(cluster: Cluster, home: Path) -> None:
    file = Path.home() / ".pgpass"
    file.write_text(f"localhost:{cluster.port}:*:postgres:{cluster.password}\n")
    file.chmod(0o600)
    done = command("--url", f"postgresql://localhost:{cluster.port}", "--no-common", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["passwords"]["reset"]) == (0, True, None)
    works = [one["name"] for one in answer["passwords"]["sources"] if one["verdict"] == "works"]
    assert works == ["~/.pgpass, line 1"]
    assert cluster.password not in done.stdout + done.stderr


def test_without_one_it_says_how_to_set_a_new_one(cluster: Cluster, home: Path) -> None:
    done = command("--url", f"postgresql://alice@localhost:{cluster.port}", "--no-common")
    assert done.returncode == 1
    assert "~/.pgpass: nothing there" in done.stdout
    assert "\\password alice" in done.stdout
