"""Every shape of env file keeps its bytes but those of the key that is set."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import dotenv
import pytest

from core import envfile
from core.errors import TradekeepError

SHAPES = json.loads((Path(__file__).parent / "env-shapes.json").read_text("utf-8"))["shapes"]
# Blanks around "=" are the one thing about the touched line that is put right: bash cannot read them.
NORMALISED = {"indented"}
# bash stops at other lines of these, whatever stands in the key's own.
NOT_FOR_BASH = {"continuation", "ini_sections"}


def segments(shape: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """(before, after) of each piece of the file."""
    if isinstance(shape["segments"], str):
        blob = b"BLOB=" + b"QUJD" * 50000 + b"\n"
        new = f"{shape['key']}={shape['new_value']}\n".encode()
        return [(blob, blob), (b"DATABASE_URL=x\n", new), (b"B=2\n", b"B=2\n")]
    pieces = []
    for piece in shape["segments"]:
        old = base64.b64decode(piece.get("keep_b64", piece.get("old_b64")))
        pieces.append((old, base64.b64decode(piece["new_b64"]) if "new_b64" in piece else old))
    return pieces


def by_bash(path: Path, key: str) -> str:
    done = subprocess.run(
        ["bash", "-c", 'set -a; . "$1" 2>/dev/null; printf %s "${!2}"', "bash", path, key],
        capture_output=True,
        check=False,
        env={},
    )
    return done.stdout.decode()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["id"])
def test_shape_keeps_every_other_byte(shape: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    key, value = shape["key"], shape["new_value"]
    old = b"".join(before for before, _ in segments(shape))
    expected = b"".join(after for _, after in segments(shape))
    path.write_bytes(old)
    others = {name: text for name, text in envfile.values(path).items() if name != key}
    if shape["expect"] == "write-or-refuse":
        with pytest.raises(TradekeepError, match="Line 1") as refusal:
            envfile.set_values(path, {key: value})
        assert refusal.value.error_type == "config"
        assert path.read_bytes() == old
        return
    written = envfile.set_values(path, {key: value})
    if shape["id"] in NORMALISED:
        expected = expected.replace(f"{key} = ".encode(), f"{key}=".encode())
    assert path.read_bytes() == expected
    assert dotenv.dotenv_values(path, interpolate=False) == {**dotenv.dotenv_values(path), key: value}
    assert {name: text for name, text in envfile.values(path).items() if name != key} == others
    if shape["id"] not in NOT_FOR_BASH and shutil.which("bash"):
        assert by_bash(path, key) == value
    assert written.backup is not None
    assert written.backup.read_bytes() == old
    assert stat.S_IMODE(written.backup.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".env.local", ".tradekeep-backups"]
    assert envfile.set_values(path, {key: value}) == envfile.Written(False)
    assert len(envfile.backups(path)) == 1
    assert envfile.restore(path, written.backup).changed
    assert path.read_bytes() == old
