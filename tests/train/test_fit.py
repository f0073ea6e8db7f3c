import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headscarp.core.bundle import open_bundle
from headscarp.core.calibration import calibration_from_json
from headscarp.core.errors import JournalError, OutputError, RecipeError, TrainingError
from headscarp.core.stack import fingerprint, write_stack
from headscarp.evaluation.evaluate import evaluate
from headscarp.evaluation.scoring import NetPredictor
from headscarp.nets import net_from_bundle
from headscarp.tiles.splits import read_split
from headscarp.train import loop
from headscarp.train.checkpoint import CHECKPOINT
from headscarp.train.config import FitConfig
from headscarp.train.fit import fit

CONFIG = FitConfig(epochs=3, tile_px=64, batch_size=4)
NEAR = replace(CONFIG, net_arguments={"ranges_m": (30,)})  # for sann: one short range is enough, and quick
FILES = ("weights.safetensors", "bundle.json", "split.geojson", "history.csv")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(world, blocks, cache):
    def run(out: Path, net: str = "llr", config: FitConfig | None = None, **options):
        config = config or (NEAR if net == "sann" else CONFIG)
        return fit(world, net=net, split=blocks, out=out, config=config, cache=cache, **options)

    return run


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The folders of uninterrupted trainings."""
    folder = tmp_path_factory.mktemp("whole")
    for net in ("llr", "sann"):
        run(folder / net, net)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def interrupt(monkeypatch, place: str, count: int, job) -> None:
    """Does a job with Ctrl-C at the count-th call of a function of the loop."""
    calls, plain = [0], getattr(loop, place)

    def stopping(*arguments, **options):
        calls[0] += 1
        if calls[0] == count:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, place, stopping)
        with pytest.raises(KeyboardInterrupt):
            job()


@pytest.mark.parametrize("net", ["llr", "sann"])
def test_the_net_is_asked_once_and_its_figures_are_those_of_evaluate(net, whole, world, blocks, tmp_path, monkeypatch):
    bundle, asked, plain = open_bundle(whole / net), [], NetPredictor._asked
    monkeypatch.setattr(NetPredictor, "_asked", lambda self, batch: asked.append(batch.tiles) or plain(self, batch))
    how = {"split": blocks, "parts": ("validation",)}  # with the threads of fit: one thread of torch rounds otherwise
    fresh = evaluate(bundle, world, **how)
    assert json.dumps([asdict(row) for row in fresh.rows]) == json.dumps([dict(row) for row in bundle.metrics])
    tiles = len(asked)
    first, second = (evaluate(bundle, world, **how, kept=tmp_path) for _ in range(2))
    assert repr(first.rows) == repr(second.rows) == repr(fresh.rows)
    assert len(asked) == 2 * tiles


def test_a_bundle_holds_all_that_is_needed_to_use_it(whole, world, blocks):
    bundle = open_bundle(whole / "sann")
    assert [band.name for band in bundle.bands] == ["elevation", "slope", "aspect", "rock"]
    assert bundle.bands[0].units == "m"
    assert bundle.bands[3].classes == ("marl", "schist", "granite")
    assert list(bundle.scales) == ["elevation", "slope"]
    assert 900 < bundle.scales["elevation"][0] < 1100
    assert 100 < bundle.scales["elevation"][1] < 300
    assert bundle.resolution_m == pytest.approx(30, rel=1e-3)
    assert bundle.calibration["kind"] == "temperature"
    assert 0 < bundle.threshold < 1
    assert read_split(whole / "sann" / "split.geojson").parts == blocks.parts
    metrics = {row["metric"]: row for row in bundle.metrics}
    assert {row["part"] for row in bundle.metrics} == {"validation"}
    assert metrics["skill"]["low"] > 0
    assert bundle.made["inputs"][0]["fingerprint"] == fingerprint(world)
    assert bundle.made["settings"]["learning_rate"] == 0.0156
    assert set(bundle.made["aligned"]["features"]) == set(bundle.arguments["aligned"])
    assert bundle.made["aligned"]["rule"] == "|w| >= 0.2"
    assert "slope" in bundle.arguments["aligned"]
    assert sorted(p.name for p in (whole / "sann").iterdir()) == sorted([*FILES, "log"])


def test_the_threshold_has_the_best_f1_after_calibration(whole, world, blocks):
    bundle = open_bundle(whole / "llr")
    metrics = {row["metric"]: row["value"] for row in bundle.metrics}
    assert metrics["f1"] > 2 * metrics["prevalence"] / (1 + metrics["prevalence"])  # calling everything
    assert calibration_from_json(bundle.calibration).apply(np.float32(bundle.threshold)) < 1


def test_tensorboard_holds_a_scalar_of_each_epoch(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "llr" / "log"))
    events.Reload()
    names = {"loss", "validation_nll", "constant_nll", "skill", "learning_rate", "pixels_per_second"}
    names |= {"accuracy", "precision", "recall", "iou"}
    assert set(events.Tags()["scalars"]) == names
    assert [e.step for e in events.Scalars("validation_nll")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("net", "place", "count"),
    [
        ("llr", "validate", 1),  # before any checkpoint
        ("llr", "validate", 3),
        ("llr", "save_checkpoint", 2),  # an epoch is told but not kept
        ("sann", "validate", 4),  # in the training that chooses features
        ("sann", "save_checkpoint", 12),
    ],
)
def test_a_resumed_training_gives_the_same_bytes(run, whole, tmp_path, monkeypatch, net, place, count):
    interrupt(monkeypatch, place, count, lambda: run(tmp_path / "b", net))
    assert not (tmp_path / "b" / "bundle.json").exists()
    assert (tmp_path / "b" / CHECKPOINT).is_dir()
    run(tmp_path / "b", net, resume=True)
    assert bytes_of(tmp_path / "b") == bytes_of(whole / net)
    assert not (tmp_path / "b" / CHECKPOINT).exists()


def test_ctrl_c_says_how_to_go_on(run, tmp_path, monkeypatch, caplog):
    interrupt(monkeypatch, "validate", 2, lambda: run(tmp_path / "b"))
    assert "--resume" in caplog.text
    with pytest.raises(OutputError, match="resume to go on"):
        run(tmp_path / "b")
    with pytest.raises(JournalError, match=r"settings\.seed: 0 there, 1 now"):
        run(tmp_path / "b", config=replace(CONFIG, seed=1), resume=True)
    run(tmp_path / "b", config=replace(CONFIG, workers=1), resume=True)  # threads decide nothing


def test_what_exists_is_not_touched_without_being_told_to(run, whole, tmp_path):
    before = bytes_of(whole / "llr")
    with pytest.raises(OutputError, match="--overwrite"):
        run(whole / "llr")
    assert bytes_of(whole / "llr") == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="no training to go on with"):
        run(tmp_path / "notes", resume=True)
    run(tmp_path / "notes", overwrite=True, config=replace(CONFIG, epochs=1))
    assert (tmp_path / "notes" / "mine.txt").read_text() == "kept"
    changed = run(tmp_path / "notes", overwrite=True, config=replace(CONFIG, epochs=1, seed=5))
    assert changed.made["seed"] == 5


def test_resuming_what_is_finished_gives_it_back(run, whole):
    before = (whole / "llr" / "weights.safetensors").stat().st_mtime_ns
    assert run(whole / "llr", resume=True).made == open_bundle(whole / "llr").made
    assert (whole / "llr" / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(JournalError, match=r"settings\.epochs"):
        run(whole / "llr", resume=True, config=replace(CONFIG, epochs=9))


def test_a_torn_checkpoint_is_an_error_not_a_guess(run, tmp_path, monkeypatch):
    interrupt(monkeypatch, "validate", 3, lambda: run(tmp_path / "b"))
    state = tmp_path / "b" / CHECKPOINT / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"cannot be read .* --overwrite"):
        run(tmp_path / "b", resume=True)


def test_a_stack_on_disk_gives_the_same_as_in_memory(world, blocks, whole, tmp_path):
    write_stack(world, tmp_path / "stack.zarr")
    fit(tmp_path / "stack.zarr", net="llr", split=whole / "llr" / "split.geojson", out=tmp_path / "b", config=CONFIG)
    assert bytes_of(tmp_path / "b") == bytes_of(whole / "llr")


@pytest.mark.parametrize("net", ["prevalence", "random"])
def test_nets_that_learn_nothing_come_as_they_are(run, tmp_path, net):
    bundle = run(tmp_path / net, net)
    assert bundle.calibration == {"kind": "none"}
    assert bundle.made["epochs"] == 0
    assert torch.is_tensor(next(iter(net_from_bundle(bundle).state_dict().values())))


def test_named_features_are_taken_as_they_are(run, tmp_path):
    named = replace(CONFIG, epochs=1, net_arguments={"aligned": ("slope", "elevation"), "ranges_m": (30, 90)})
    bundle = run(tmp_path / "b", "sann", named)
    assert tuple(bundle.arguments["aligned"]) == ("slope", "elevation")
    assert "aligned" not in bundle.made


def test_without_a_split_blocks_are_made(world, cache, tmp_path):
    bundle = fit(world, net="slope", out=tmp_path / "b", config=replace(CONFIG, epochs=1), cache=cache)
    assert bundle.split["kind"] == "blocks"
    assert json.loads((tmp_path / "b" / "split.geojson").read_text())["settings"]["folds"] == 5


@pytest.mark.parametrize(
    ("net", "config", "told"),
    [("sacn", {}, "did you mean 'sacnn'"), ("llr", {"sampling": "uniforme"}, "did you mean 'uniform'")],
)
def test_unknown_names_are_refused_with_the_nearest(run, tmp_path, net, config, told):
    with pytest.raises(RecipeError, match=told):
        run(tmp_path / "b", net, replace(CONFIG, **config))
    assert not (tmp_path / "b").exists()
