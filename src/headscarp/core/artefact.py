"""Files and folders that are whole or not there: written beside their final name, then renamed.

Refuses to replace an existing output unless told to.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headscarp.core.errors import HeadscarpError, OutputError


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path, when something new may be written there; its parent folder is made. Raises OutputError."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give another --out, or --overwrite to replace it")
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def partial_path(path: str | Path) -> Path:
    """Where an artefact stands while it is being made: beside its final name, on the same disk."""
    path = Path(path)
    return path.with_name(f".{path.name}.partial")


def finish(partial: Path, path: str | Path) -> Path:
    """Renames a whole artefact to its final name, replacing what was there."""
    path = Path(path)
    with clear_os_errors(path):
        if path.is_dir() and not path.is_symlink():
            old = path.with_name(f".{path.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            partial.replace(path)
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Writes a text file whole or not at all, replacing what was there."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    return path


def write_json(path: str | Path, data: Any) -> Path:
    """Writes JSON whole or not at all; NaN becomes null."""
    return write_text(path, json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def clear_os_errors(path: str | Path) -> Iterator[None]:
    """Turns a full disk, a missing folder or a forbidden path into an OutputError that says what to do."""
    try:
        yield
    except HeadscarpError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"the disk is full while writing {path}; free some space and run the same command with --resume: "
                "finished blocks are kept"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise OutputError(
                f"{path} cannot be written ({error.strerror}); give an --out that you may write to"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOENT):
            raise OutputError(f"{path} cannot be written ({error.strerror}); check --out") from error
        raise


def _plain(data: Any) -> Any:
    """Data with tuples as lists, paths as text, numpy numbers as Python's and non-finite numbers as None."""
    if isinstance(data, dict):
        return {str(k): _plain(v) for k, v in data.items()}
    if isinstance(data, (list, tuple, set)):
        return [_plain(v) for v in data]
    if hasattr(data, "tolist"):
        return _plain(data.tolist())
    if isinstance(data, float) and not (abs(data) < float("inf")):
        return None
    if isinstance(data, Path):
        return str(data)
    return data
