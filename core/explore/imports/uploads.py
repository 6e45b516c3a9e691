"""Files that somebody uploaded: kept under names of our own, for nobody else, for a day at most."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

from core import private
from core.errors import classify

FOLDER = "imports"
KEPT_S = 86_400.0


def keep(home: Path, upload: BinaryIO) -> Path:
    """Write an upload to a file of ours; what was kept for a day goes. Raises permission.file, resource errors."""
    try:
        with private.passing_file(home / FOLDER, KEPT_S) as (path, out):
            upload.seek(0)
            shutil.copyfileobj(upload, out, 1 << 20)
    except OSError as error:
        raise classify(error) from None
    return path


def drop(path: Path) -> None:
    """Forget an upload."""
    path.unlink(missing_ok=True)
