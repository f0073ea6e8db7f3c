"""Laws of artefacts: whole or not there; existing ones are kept; a full disk says what to do."""

import errno
import json

import pytest

from headscarp.core.artefact import check_output, clear_os_errors, finish, partial_path, write_json, write_text
from headscarp.core.errors import OutputError
from headscarp.core.tile import Window, windows


def test_finish_replaces_files_and_folders(tmp_path):
    for make in (lambda p: p.write_text("new"), lambda p: (p.mkdir(), (p / "f").write_text("new"))):
        target = tmp_path / "out"
        partial = partial_path(target)
        make(partial)
        finish(partial, target)
        assert target.exists()
        assert not partial.exists()
        make(partial)
        if target.is_dir():
            (target / "old").write_text("old")
        finish(partial, target)
        assert not (target / "old").exists()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
        target.unlink() if target.is_file() else None


def test_existing_output_is_refused_without_overwrite(tmp_path):
    write_text(tmp_path / "a.txt", "x")
    with pytest.raises(OutputError, match="--overwrite"):
        check_output(tmp_path / "a.txt")
    assert check_output(tmp_path / "a.txt", overwrite=True) == tmp_path / "a.txt"


def test_a_full_disk_says_what_to_do():
    with pytest.raises(OutputError, match=r"disk is full.*--resume"), clear_os_errors("map.tif"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": (1, 2), "c": tmp_path})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1, 2], "c": str(tmp_path)}


def test_windows_cover_the_raster_once():
    import numpy as np

    count = np.zeros((70, 33), int)
    for window in windows(count.shape, 32):
        inside = window.clip(count.shape)
        count[inside.slices] += 1
        assert window.row % 32 == window.col % 32 == 0
    assert (count == 1).all()


def test_grow_and_clip():
    window = Window(10, 20, 5, 6)
    assert window.grow(3).grow(-3) == window
    assert Window(-5, -5, 8, 8).clip((100, 100)) == Window(0, 0, 3, 3)
    assert Window(200, 0, 8, 8).clip((100, 100)).height == 0
