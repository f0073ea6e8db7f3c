import csv
import json
from dataclasses import replace

import pytest

from headscarp.core.errors import JournalError, OutputError, RecipeError, SplitError, TrainingError
from headscarp.nets import NETS
from headscarp.tiles.splits import split_blocks
from headscarp.train import search as module
from headscarp.train.config import FitConfig
from headscarp.train.search import fold_splits, search

CONFIG = FitConfig(tile_px=64, batch_size=4, sampling="uniform")
RATES = (2.0**-12, 2.0**-3)


@pytest.fixture(scope="module")
def run(world, blocks, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def run(out, **options):
        options = {"net": "llr", "learning_rates": RATES, "folds": 3, "config": CONFIG, **options}
        return search(world, split=blocks, out=out, cache=cache, **options)

    return run


def test_folds_part_the_training_blocks_and_each_holds_both_classes(blocks):
    folds = fold_splits(blocks, 5, seed=0)
    training = {part.id for part in blocks.part("train")}
    judged = [{part.id for part in fold.part("validation")} for fold in folds]
    assert set.union(*judged) == training
    assert sum(map(len, judged)) == len(training)
    for fold, judging in zip(folds, judged, strict=True):
        assert {part.id for part in fold.part("train")} == training - judging
        assert fold.buffer_px == blocks.buffer_px
    positives = [sum(part.positives for part in fold.part("validation")) for fold in folds]
    assert min(positives) > 0.9 * max(positives)
    assert fold_splits(blocks, 5, seed=0) == folds != fold_splits(blocks, 5, seed=1)


def test_a_sane_rate_is_found(run, tmp_path):
    found = run(tmp_path / "s")
    assert (found.best.optimiser, found.best.learning_rate) == ("adam", 2.0**-3)
    assert found.best.low < found.best.nll < found.best.high
    assert found.best.nll < found.best.constant_nll
    assert len(found.choices) == 4
    assert "best is adam with learning rate 0.125" in found.text
    with (tmp_path / "s" / "search.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert json.loads((tmp_path / "s" / "search.json").read_text())["best"]["learning_rate"] == 0.125
    assert (tmp_path / "s" / "search.png").read_bytes()[:4] == b"\x89PNG"


def test_an_interrupted_search_goes_on_to_the_same(run, tmp_path, monkeypatch):
    run(tmp_path / "whole", optimisers=("adam",))
    calls, plain = [0], module.trained_net

    def counting(*arguments, **options):
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    monkeypatch.setattr(module, "trained_net", counting)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "s", optimisers=("adam",))
    with pytest.raises(OutputError, match="resume to go on"):
        run(tmp_path / "s", optimisers=("adam",))
    with pytest.raises(JournalError, match="settings"):
        run(tmp_path / "s", optimisers=("adam",), folds=4, resume=True)
    run(tmp_path / "s", optimisers=("adam",), resume=True)
    assert calls[0] < 4 + 6
    for name in ("search.csv", "search.json"):
        assert (tmp_path / "s" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_rate_that_diverges_is_recorded_and_never_best(run, tmp_path, monkeypatch):
    def losses(net, batch, plain=NETS["llr"].losses):
        spoilt = {"nll": plain(net, batch)["nll"] * float("nan")}
        return spoilt if net.first.weight.abs().max() > 0.1 else plain(net, batch)

    monkeypatch.setattr(NETS["llr"], "losses", losses)
    found = run(tmp_path / "s", optimisers=("adam",), learning_rates=(2.0**-8, 0.5), folds=2)
    assert found.best.learning_rate == 2.0**-8
    assert [choice.diverged for choice in found.choices] == [0, 2]
    with pytest.raises(TrainingError, match="not finite in any trial"):
        run(tmp_path / "t", optimisers=("adam",), learning_rates=(0.5,), folds=2)


def test_a_search_without_sense_is_refused(run, tmp_path, world):
    with pytest.raises(RecipeError, match="learns nothing"):
        run(tmp_path / "s", net="prevalence")
    with pytest.raises(RecipeError, match="did you mean 'adam'"):
        run(tmp_path / "s", optimisers=("adan",))
    with pytest.raises(SplitError, match="smaller blocks"):
        fold_splits(split_blocks(world, block_size_m=1920), 9, seed=0)


def test_aligned_nets_choose_their_features_once(run, tmp_path):
    found = run(
        tmp_path / "s", net="sann", optimisers=("adam",), learning_rates=(0.0156,), folds=2, config=replace(CONFIG)
    )
    assert found.best.nll < found.best.constant_nll
    assert "slope" in json.loads((tmp_path / "s" / ".aligned" / "aligned.json").read_text())["features"]
