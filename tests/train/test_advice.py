"""Laws of advice and of the ladder of labels: rules, nested labels, one untouched test part, resume, honest slopes."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from headscarp.core.errors import RecipeError
from headscarp.core.stack import LABEL
from headscarp.core.tile import Window
from headscarp.evaluation.intervals import BlockScores, Interval
from headscarp.evaluation.metrics import average_precision
from headscarp.nets import NETS
from headscarp.report.ladder import write_ladder_figure
from headscarp.tiles.dataset import cache_stack
from headscarp.tiles.labels import LabelCounts, count_labels
from headscarp.tiles.splits import split_blocks
from headscarp.train import ladder as climbing
from headscarp.train.advice import ADVICE, advise
from headscarp.train.config import FitConfig
from headscarp.train.ladder import climb
from headscarp.train.rungs import kept_tiles, label_order, with_share
from headscarp.train.tables import TABLE_MODELS
from headscarp.train.worth import gain_of_more, words_of_worth

KNOWN = (*NETS, *TABLE_MODELS, "deeplab", "anomaly")
MANY = LabelCounts(1_000_000, 1_000_000, 20_000, 300, 100, 100, 60, 10.0)
OPTIONS = {"block_size_m": 480.0, "seed": 1}

CASES = [
    ("no labels", {"labelled_px": 0, "positive_px": 0, "landslides": 0, "labelled_blocks": 0, "landslide_blocks": 0}),
    ("landslides only", {"labelled_px": 20_000}),
    ("no landslide", {"positive_px": 0, "landslides": 0, "landslide_blocks": 0}),
    ("too few to judge", {"landslides": 40, "landslide_blocks": 3}),
    ("too few to judge", {"landslides": 4, "landslide_blocks": 4}),
    ("few landslides", {"landslides": 20}),
    ("part of the ground", {"labelled_px": 300_000}),
    ("all labelled", {}),
]


@pytest.mark.parametrize(("rule", "changes"), CASES)
def test_each_kind_of_labels_has_its_rule(rule, changes):
    found = advise(replace(MANY, **changes), methods=KNOWN, stack="s.zarr")
    assert found.rule == rule
    assert found.methods
    assert set(found.methods) <= set(KNOWN)
    assert all(command.startswith("headscarp ") and "{" not in command for command in found.commands)
    assert any("s.zarr" in command for command in found.commands)
    assert found.methods[0] in " ".join(found.sentences)


def test_every_rule_is_reached_and_the_last_one_always_holds():
    assert {rule.name for rule in ADVICE} == {rule for rule, _ in CASES}
    assert ADVICE[-1].holds(LabelCounts())


def test_a_method_that_is_not_there_is_not_advised():
    assert "deeplab" not in advise(MANY, methods=("unet", "multiscale_forest")).methods
    nothing = advise(replace(MANY, labelled_px=0, positive_px=0), methods=("unet",))
    assert (nothing.methods, nothing.commands) == ((), ())
    assert "would need anomaly" in nothing.text


def test_no_map_is_asked_of_samples():
    found = advise(replace(MANY, labelled_px=300_000), methods=KNOWN, split="given")
    assert not any("headscarp next" in command for command in found.commands)
    assert "--splits given" in found.commands[0]


def test_numbers_are_said():
    text = advise(MANY, methods=KNOWN, minutes=6).text
    assert "300 landslides" in text
    assert "30.0 hours" in text
    assert "98.00%" in text


@pytest.fixture(scope="module")
def parted(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rungs")
    return cache_stack(world, folder / "cache"), split_blocks(world, **OPTIONS), folder


def test_labels_are_nested_and_only_those_of_the_training_part_go(parted):
    stack, split, folder = parted
    order = label_order(stack, split, seed=4)
    assert order[0].positive
    assert order == label_order(stack, split, seed=4) != label_order(stack, split, seed=5)
    codes, before = split.codes(Window(0, 0, 192, 192)), stack[LABEL].values
    seen, counts = [], []
    for share in (0.0, 0.01, 0.05, 0.25, 1.0):
        label = with_share(stack, split, order, share, folder=folder / "labels")[LABEL].values
        np.testing.assert_array_equal(label[codes > 1], before[codes > 1])
        kept = (label != 255) & (codes == 1)
        np.testing.assert_array_equal(label[kept], before[kept])
        assert all((kept | earlier == kept).all() for earlier in seen)
        seen.append(kept)
        counts.append(kept.sum() / seen[0].size)
    assert counts[0] == 0
    assert (np.diff(counts) > 0).all()
    labelled = sum(t.labelled for t in order)
    assert sum(t.labelled for t in kept_tiles(order, 0.25)) == pytest.approx(0.25 * labelled, abs=order[0].labelled * 2)


@pytest.fixture(scope="module")
def climbed(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("ladder") / "ladder"
    made = climb(world, ["threshold", "llr"], out=out, shares=(0, 5, 100), split_options=OPTIONS, minutes_per_slide=2,
                 configs={"": FitConfig(epochs=2, tile_px=64, batch_size=4)})  # fmt: skip
    return made, out


def test_the_test_part_is_the_same_on_every_rung(climbed):
    ladder, _ = climbed
    judged = {(row.metric, row.value) for _, row in ladder.rows if row.metric in ("n", "prevalence")}
    assert len(judged) == 2
    assert {row.part for _, row in ladder.rows} == {"test"}
    assert {(s, row.net) for s, row in ladder.rows} == {(s, n) for s in (5.0, 100.0) for n in ("threshold", "llr")}


def test_what_cannot_be_trained_is_said(climbed):
    ladder, _ = climbed
    assert set(ladder.missing) == {(0.0, "threshold"), (0.0, "llr")}
    assert all("no landslide and no negative is labelled" in why for why in ladder.missing.values())


def test_hours_are_landslides_times_minutes(climbed, world):
    ladder, _ = climbed
    assert [rung.hours for rung in ladder.rungs] == [rung.counts.landslides * 2 / 60 for rung in ladder.rungs]
    whole = count_labels(world, split=split_blocks(world, **OPTIONS))
    assert ladder.rungs[-1].counts == whole
    assert ladder.rungs[0].hours == 0


def test_the_table_is_the_house_one_with_the_share_behind(climbed):
    ladder, out = climbed
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["net", "split", "part", "metric", "value", "low", "high", "share"]
    assert len(rows) == len(ladder.rows)
    assert {row["share"] for row in rows} == {"5", "100"}
    facts = json.loads((out / "ladder.json").read_text())
    assert [rung["share"] for rung in facts["rungs"]] == [0, 5, 100]
    assert list(ladder.sentences) == facts["sentences"]
    assert write_ladder_figure(ladder, out).stat().st_size > 10_000


def test_a_ladder_that_was_stopped_goes_on(climbed, world, monkeypatch):
    ladder, out = climbed
    score_net, again = climbing.score_net, []

    def counted(net, *args, **options):
        again.append(net)
        return score_net(net, *args, **options)

    monkeypatch.setattr(climbing, "score_net", counted)
    (out / "runs" / "share-5" / "threshold" / "scores.npz").unlink()
    same = climb(world, ["threshold", "llr"], out=out, shares=(0, 5, 100), split_options=OPTIONS, minutes_per_slide=2,
                 configs={"": FitConfig(epochs=2, tile_px=64, batch_size=4)}, resume=True)  # fmt: skip
    assert again == ["threshold"]
    assert [(s, r.net, r.metric, r.value) for s, r in same.rows if r.value == r.value] == [
        (s, r.net, r.metric, r.value) for s, r in ladder.rows if r.value == r.value
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["forrest"]}, "did you mean 'forest'"),
        ({"methods": []}, "no method is given"),
        ({"methods": ["llr"], "shares": (5, 120)}, "per cent, 0 to 100"),
        ({"methods": ["llr"], "minutes_per_slide": 0}, "above 0"),
    ],
)
def test_senseless_ladders_are_refused(world, tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        climb(world, out=tmp_path / "out", split_options=OPTIONS, **options)


def scores(quality: float, seed: int) -> BlockScores:
    """30 blocks of 400 pixels; probabilities tell landslides apart as well as `quality` says."""
    rng, made = np.random.default_rng(seed), BlockScores()
    for block in range(30):
        label = (np.random.default_rng(block).random(400) < 0.2).astype(np.uint8)
        logit = quality * (label - 0.5) + rng.normal(0, 1, 400)
        made.update(block, (1 / (1 + np.exp(-logit))).astype(np.float32), label)
    return made


def value(blocks: BlockScores) -> float:
    return float(average_precision(blocks.counts()))


def test_a_gain_beyond_the_noise_is_told_per_hour_and_one_within_it_is_not():
    poor, good, same = scores(0.5, 1), scores(3.0, 2), scores(3.0, 3)
    steps = {25.0: (1.0, poor), 100.0: (4.0, good)}
    (said,) = words_of_worth("llr", steps, {25.0: value(poor), 100.0: value(good)})
    assert "another hour buys about +" in said
    (said,) = words_of_worth("llr", {25.0: (1.0, same), 100.0: (4.0, good)}, {25.0: value(same), 100.0: value(good)})
    assert "within the noise" in said
    assert words_of_worth("llr", {100.0: (4.0, good)}, {100.0: value(good)}) == []


def test_the_next_hour_buys_less_the_more_there_are():
    gain = Interval(0.1, 0.05, 0.15)
    first = gain_of_more(gain, (1.0, 2.0))
    later = gain_of_more(gain, (10.0, 20.0))
    assert first.value == pytest.approx(0.1 * np.log(1.5) / np.log(2))
    assert 0 < later.value < first.value < gain.value
    assert gain_of_more(gain, (0.0, 2.0)).value == pytest.approx(0.05)
    assert gain_of_more(gain, (1.0, 2.0), more=2.0).value == pytest.approx(gain.value)  # twice the hours once more
