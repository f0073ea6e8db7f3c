"""Laws of scoring polygons against polygons, on squares whose areas are known."""

import time

import geopandas as gpd
import numpy as np
import pytest
import shapely

from headscarp.core.errors import GridError, SourceError
from headscarp.evaluation.objectrows import object_rows
from headscarp.evaluation.objects import SIZE_CLASSES, Rules, equal_area_crs, score_objects, size_class
from headscarp.evaluation.tables import read_table, write_table

UTM = "EPSG:32633"
LEFT, TOP = 500_000.0, 5_100_000.0


def square(x: float, y: float, side: float) -> shapely.Polygon:
    return shapely.box(LEFT + x, TOP + y, LEFT + x + side, TOP + y + side)


def table(shapes, crs=UTM) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=list(shapes), crs=crs)


def values(inventory, truth, *, rules=None, area=None, resamples=50):
    rows = object_rows(score_objects(inventory, truth, rules=rules, area=area), "map", resamples=resamples)
    return {(row.split, row.part, row.metric): row.value for row in rows}


@pytest.fixture
def truth() -> gpd.GeoDataFrame:
    """A slide of each class of size, far apart: 400, 6400, 90 000 and 250 000 m2."""
    return table([square(0, 0, 20), square(2000, 0, 80), square(4000, 3000, 300), square(9000, 0, 500)])


def test_truth_against_itself_is_perfect(truth):
    found = values(truth, truth)
    for metric in ("precision", "recall", "f1", "matched_precision", "matched_recall"):
        assert found["objects", "all", metric] == 1
    for metric in ("precision", "recall", "f1", "iou"):
        assert found["area", "all", metric] == pytest.approx(1, abs=1e-9)
    assert found["objects", "all", "n_missed"] == found["objects", "all", "n_false"] == 0
    assert found["objects", "all", "area_error"] == pytest.approx(0, abs=1e-12)
    assert {part for _, part, _ in found} == {"all", *SIZE_CLASSES}


def test_far_away_all_is_missed_and_all_is_false(truth):
    moved = truth.set_geometry(truth.geometry.translate(0, 20_000))
    found = values(moved, truth)
    assert found["objects", "all", "recall"] == found["objects", "all", "precision"] == 0
    assert (found["objects", "all", "n_missed"], found["objects", "all", "n_false"]) == (4, 4)
    assert found["area", "all", "iou"] == found["area", "all", "f1"] == 0


def test_areas_are_true_square_metres_whatever_the_projection(truth):
    found = values(truth.to_crs("EPSG:3857"), truth.to_crs("EPSG:4326"))
    on_ground = truth.to_crs(equal_area_crs(truth)).area.sum()
    assert found["area", "all", "true_m2"] == pytest.approx(on_ground, rel=1e-6)
    assert on_ground == pytest.approx((400 + 6400 + 90_000 + 250_000) / 0.9996**2, rel=1e-4)
    assert found["area", "all", "iou"] == pytest.approx(1, abs=1e-5)


def test_splitting_a_polygon_changes_no_area(truth):
    halves = table([*truth.geometry[:3], square(9000, 0, 500), shapely.Polygon()])
    west = shapely.box(LEFT + 9000, TOP, LEFT + 9210, TOP + 500)
    split = table([*truth.geometry[:3], west, shapely.difference(square(9000, 0, 500), west)])
    whole, parts = values(halves, truth), values(split, truth)
    for metric in ("precision", "recall", "iou", "mapped_m2", "both_m2"):
        assert parts["area", "all", metric] == pytest.approx(whole["area", "all", metric], rel=1e-7)
    assert parts["objects", "all", "n_mapped"] == 5
    assert parts["objects", "all", "coverage"] == pytest.approx(1)


def test_overlapping_polygons_count_their_area_once(truth):
    twice = table([*truth.geometry, *truth.geometry, square(4100, 3100, 100)])
    found = values(twice, truth)
    assert found["area", "all", "mapped_m2"] == pytest.approx(found["area", "all", "true_m2"], rel=1e-9)
    assert found["area", "all", "iou"] == pytest.approx(1, abs=1e-9)
    assert found["objects", "all", "coverage"] == pytest.approx(1)
    assert found["objects", "all", "matched_precision"] == pytest.approx(4 / 9)


def test_swapped_arguments_swap_precision_and_recall(truth):
    mapped = table([square(5, 5, 20), square(2000, 300, 80), square(4100, 3050, 250), square(12_000, 0, 60)])
    there, back = values(mapped, truth), values(truth, mapped)
    for split in ("objects", "area"):
        assert there[split, "all", "precision"] == pytest.approx(back[split, "all", "recall"], rel=1e-6)
        assert there[split, "all", "recall"] == pytest.approx(back[split, "all", "precision"], rel=1e-6)
        assert there[split, "all", "f1"] == pytest.approx(back[split, "all", "f1"], rel=1e-6)
    assert there["objects", "all", "matched_precision"] == back["objects", "all", "matched_recall"]


@pytest.mark.parametrize(("share", "is_found"), [(0.09, 0), (0.11, 1)])
def test_a_slide_is_found_from_a_tenth_of_its_area_on(share, is_found):
    slide, piece = square(0, 0, 100), shapely.box(LEFT, TOP, LEFT + 100 * share, TOP + 100)
    assert values(table([piece]), table([slide]))["objects", "all", "n_found"] == is_found
    # The other way about: a map of which so much lies on the slide is false, or not.
    assert values(table([slide]), table([piece]))["objects", "all", "n_false"] == 1 - is_found


def test_pieces_that_cover_together_find_a_slide():
    slide = square(0, 0, 100)
    strips = [shapely.box(LEFT + 10 * i, TOP, LEFT + 10 * i + 3, TOP + 20) for i in range(10)]
    found = values(table(strips), table([slide]))
    assert found["objects", "all", "coverage"] == pytest.approx(0.06, rel=1e-6)
    assert found["objects", "all", "n_found"] == 0
    assert values(table(strips), table([slide]), rules=Rules(found_share=0.05))["objects", "all", "n_found"] == 1
    assert found["objects", "all", "precision"] == 1


def test_outside_the_area_nothing_counts(truth):
    mapped = table([square(0, 0, 20), square(30_000, 0, 100)])
    area = table([square(-500, -500, 3000)])
    found = values(mapped, truth, area=area)
    assert found["objects", "all", "n_true"] == 2
    assert found["objects", "all", "n_mapped"] == 1
    assert found["area", "all", "precision"] == pytest.approx(1)
    assert found["area", "all", "true_m2"] == pytest.approx(6800 / 0.9996**2, rel=1e-4)


def test_sizes_on_an_edge_belong_to_the_larger_class():
    assert size_class(np.array([999.0, 1e3, 9_999.0, 1e4, 1e5])).tolist() == [0, 1, 1, 2, 3]


def test_by_size_the_classes_add_up(truth):
    mapped = table([square(5, 5, 20), square(2000, 0, 80), square(12_000, 0, 60)])
    found = values(mapped, truth)
    for metric in ("n_true", "n_found", "n_missed", "n_mapped", "n_false"):
        assert sum(found["objects", size, metric] for size in SIZE_CLASSES) == found["objects", "all", metric]


def test_nothing_mapped_is_all_missed(truth):
    found = values(table([]), truth)
    assert found["objects", "all", "recall"] == found["objects", "all", "f1"] == 0
    assert np.isnan(found["objects", "all", "precision"])
    assert found["area", "all", "recall"] == 0


def test_intervals_hold_their_values_and_follow_the_seed():
    rng = np.random.default_rng(1)
    truth = [square(700 * i, 0, 60) for i in range(60)]
    mapped = [square(700 * i + 10, 0, 60) for i in range(60) if rng.random() < 0.7]
    scores = score_objects(table(mapped), table(truth))
    rows = {(r.split, r.metric): r for r in object_rows(scores, "map", seed=3) if r.part == "all"}
    assert rows == {(r.split, r.metric): r for r in object_rows(scores, "map", seed=3) if r.part == "all"}
    for key in (("objects", "recall"), ("area", "recall"), ("area", "iou")):
        assert rows[key].low < rows[key].value < rows[key].high
    half = (rows["objects", "recall"].high - rows["objects", "recall"].low) / 2
    share = rows["objects", "recall"].value
    assert half == pytest.approx(1.96 * np.sqrt(share * (1 - share) / 60), rel=0.35)  # about a slide a square


def test_bad_polygons_are_mended_and_what_cannot_be_scored_is_refused(truth):
    bow = shapely.Polygon([(LEFT, TOP), (LEFT + 20, TOP + 20), (LEFT + 20, TOP), (LEFT, TOP + 20)])
    assert values(table([bow]), truth)["area", "all", "both_m2"] == pytest.approx(200 / 0.9996**2, rel=1e-3)
    with pytest.raises(GridError, match="coordinate system"):
        score_objects(table(truth.geometry, crs=None), truth)
    with pytest.raises(SourceError, match="no polygon in the scored area"):
        score_objects(truth, truth, area=table([square(90_000, 0, 10)]))


def test_the_table_is_the_house_s(tmp_path, truth):
    rows = object_rows(score_objects(truth, truth), "map", resamples=20)
    write_table(rows, tmp_path)
    assert [repr(row) for row in read_table(tmp_path)] == [repr(row) for row in rows]


def test_twenty_thousand_polygons_take_seconds():
    at = np.stack(np.meshgrid(np.arange(100), np.arange(200)), axis=-1).reshape(-1, 2) * 120.0
    true = shapely.box(LEFT + at[:, 0], TOP + at[:, 1], LEFT + at[:, 0] + 50, TOP + at[:, 1] + 50)
    moved = shapely.transform(true, lambda xy: xy + 20)
    started = time.process_time()
    found = values(table(moved), table(true), resamples=20)
    assert time.process_time() - started < 20
    assert found["area", "all", "iou"] == pytest.approx(900 / (5000 - 900), rel=1e-4)
