"""Files that somebody uploaded: kept under names of our own, for nobody else, for a day at most."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import BinaryIO

from core import private
from core.errors import classify

FOLDER = "imports"
KEPT_S = 86_400.0


def keep(home: Path, upload: BinaryIO) -> Path:
    """Write an upload to a file of ours; what was kept for a day goes. Raises permission.file, resource errors."""
    path = None
    try:
        folder = private.folder(home / FOLDER)
        for old in folder.iterdir():
            with contextlib.suppress(OSError):
                if time.time() - old.stat().st_mtime > KEPT_S:
                    old.unlink()
        path = folder / secrets.token_hex(16)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            upload.seek(0)
            shutil.copyfileobj(upload, out, 1 << 20)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise classify(error) from None
    return path


def drop(path: Path) -> None:
    """Forget an upload."""
    path.unlink(missing_ok=True)
