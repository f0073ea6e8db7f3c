"""Laws of reading chips: planes first or last are the same, resampling keeps planes and means, bad files are said."""

from pathlib import Path

import numpy as np
import pytest

from headscarp.core.errors import SourceError
from headscarp.sources.chips import ChipPlace, chips_in, fitted, read_chip, read_mask

PIXELS = np.random.default_rng(0).normal(size=(3, 6, 8)).astype(np.float32)


def place(folder, pixels, name="chip.npy", **more) -> ChipPlace:
    np.save(folder / name, pixels)
    return ChipPlace(str(folder / name), **more)


def test_planes_may_stand_first_or_last(tmp_path):
    first = read_chip(place(tmp_path, PIXELS), 3)
    last = read_chip(place(tmp_path, np.moveaxis(PIXELS, 0, -1)), 3)
    np.testing.assert_array_equal(first, PIXELS)
    np.testing.assert_array_equal(last, PIXELS)
    np.testing.assert_array_equal(read_chip(place(tmp_path, PIXELS[0]), 1)[0], PIXELS[0])


def test_where_planes_stand_is_not_guessed(tmp_path):
    with pytest.raises(SourceError, match="may be first or last"):
        read_chip(place(tmp_path, np.zeros((3, 9, 3))), 3)
    with pytest.raises(SourceError, match="holds 4 planes; 3 bands are named"):
        read_chip(place(tmp_path, np.zeros((4, 9, 9))), 3)
    with pytest.raises(SourceError, match="has 3 planes"):
        read_mask(place(tmp_path, PIXELS))
    with pytest.raises(SourceError, match="has shape"):
        chips_in(Path(place(tmp_path, np.zeros(4)).path), "", 1)


def test_files_of_many_chips_are_counted_and_read_one_by_one(tmp_path):
    many = np.stack([PIXELS, PIXELS + 1])
    where = place(tmp_path, many, index=1)
    assert chips_in(tmp_path / "chip.npy", "", 3) == 2
    np.testing.assert_array_equal(read_chip(where, 3), PIXELS + 1)
    place(tmp_path, PIXELS, "one.npy")
    assert chips_in(tmp_path / "one.npy", "", 3) is None
    assert chips_in(tmp_path / "one.npy", "", 1) == 3


def test_a_torn_file_is_said(tmp_path):
    (tmp_path / "torn.h5").write_bytes(b"no such thing")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG torn")
    for name in ("torn.h5", "torn.npz", "torn.png"):
        with pytest.raises(SourceError, match=f"{name} cannot be read"):
            read_chip(ChipPlace(str(tmp_path / name), "x"), 3)
    np.savez(tmp_path / "two.npz", a=PIXELS, b=PIXELS)
    with pytest.raises(SourceError, match=r"several arrays and none is named; it holds a, b"):
        read_chip(ChipPlace(str(tmp_path / "two.npz")), 3)


@pytest.mark.parametrize("shape", [(3, 4), (12, 16), (9, 5), (6, 8)])
def test_resampling_keeps_a_constant_and_a_plane(shape):
    flat = np.full((2, 6, 8), 7.0, np.float32)
    np.testing.assert_allclose(fitted(flat, shape), 7.0, rtol=1e-6)
    rows = np.broadcast_to((np.arange(6) + 0.5)[:, None] / 6, (1, 6, 8)).astype(np.float32)
    made = fitted(rows, shape)[0]
    wanted = (np.arange(shape[0]) + 0.5) / shape[0]
    inside = (wanted >= 0.5 / 6) & (wanted <= 5.5 / 6)
    np.testing.assert_allclose(made[inside], np.broadcast_to(wanted[inside][:, None], made[inside].shape), atol=1e-6)


def test_coarser_pixels_are_means():
    np.testing.assert_allclose(
        fitted(PIXELS, (3, 4)), PIXELS.reshape(3, 3, 2, 4, 2).mean(axis=(2, 4)), rtol=1e-5, atol=1e-6
    )
