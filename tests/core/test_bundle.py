"""Laws of the bundle: what is saved is what is opened; newer, torn and tampered ones are refused."""

import json

import numpy as np
import pytest

from headscarp.core.band import Band
from headscarp.core.bundle import Bundle, open_bundle, save_bundle
from headscarp.core.errors import BundleError, OutputError


def small_bundle() -> Bundle:
    rng = np.random.default_rng(0)
    return Bundle(
        net="llr",
        arguments={"a": [1, 2]},
        bands=(Band("elevation", "continuous", "m"), Band("rock", "categorical", classes=("granite", "marl"))),
        resolution_m=10.0,
        weights={"w": rng.normal(size=(3, 4)).astype("float32"), "scalar": np.float32(2).reshape(())},
        calibration={"kind": "none"},
        threshold=0.25,
    )


def test_what_is_saved_is_what_is_opened(tmp_path):
    bundle = small_bundle()
    back = open_bundle(save_bundle(bundle, tmp_path / "b"))
    assert (back.net, back.arguments, back.bands) == (bundle.net, bundle.arguments, bundle.bands)
    assert back.threshold == 0.25
    for name, array in bundle.weights.items():
        np.testing.assert_array_equal(back.weights[name], array)


def test_the_same_bundle_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_bundle(small_bundle(), tmp_path / name)
    for file in ("weights.safetensors", "bundle.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_existing_bundle_is_kept_unless_overwritten(tmp_path):
    save_bundle(small_bundle(), tmp_path / "b")
    with pytest.raises(OutputError, match="--overwrite"):
        save_bundle(small_bundle(), tmp_path / "b")
    save_bundle(small_bundle(), tmp_path / "b", overwrite=True)


def test_bad_bundles_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(BundleError, match="headscarp train"):
        open_bundle(tmp_path / "none")
    folder = save_bundle(small_bundle(), tmp_path / "b")
    weights = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(weights[:-1] + b"\x01")
    with pytest.raises(BundleError, match="not the ones that were saved"):
        open_bundle(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="no weights"):
        open_bundle(folder)
    record = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**record, "headscarp_bundle": 99}))
    with pytest.raises(BundleError, match="newer Headscarp"):
        open_bundle(folder)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        open_bundle(folder)
