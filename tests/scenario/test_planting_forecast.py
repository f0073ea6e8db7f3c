"""Plans of planting by a forecast, which reads the frames of simulated places and judges them all as they would be."""

import numpy as np
import pytest
from test_joint import bundle_of, new_forecast
from test_planting import TABLE as SLIDES

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.core.bundle import save_bundle
from headscarp.core.domains import CLOUD, REFLECTANCE, domain_bands
from headscarp.core.errors import BundleError, StackError
from headscarp.core.stack import open_stack
from headscarp.sources.world.domains.slides import open_ground
from headscarp.tiles.splits import split_given
from headscarp.train.cases import cases_of
from headscarp.train.planted import risks_of
from headscarp.train.plantings import judge_plantings
from headscarp.train.simulated import SimulatedPlaces
from verbs import said as run

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:the .* part has no landslide", "ignore:.*of 1000 resamples"),
]

READ = [band for band in domain_bands("t") if band.is_feature]


def a_bundle(**arguments):
    return bundle_of(new_forecast(READ, **{"place_px": 32, "encoder": "stills", **arguments}))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """series.zarr of ten places with frames of Landsat, and forecast/, which reads radar as well."""
    folder = tmp_path_factory.mktemp("home")
    few = {**SLIDES["scenarios"], "places_per_region": 10, "regions": ["japan"], "futures": 1, "frames": 4}
    build_domains(domains_recipe_from_dict({**SLIDES, "scenarios": few}), folder / "series.zarr", workers=1)
    save_bundle(a_bundle(), folder / "forecast")
    return folder


def test_a_forecast_gains_where_trees_are_put_and_nothing_where_it_reads_no_picture(home):
    stack = open_stack(home / "series.zarr")
    places, cases = SimulatedPlaces(stack), cases_of(stack, split_given(stack), "train")
    found = risks_of(a_bundle(), stack, places, cases)
    assert list(found) == [case.place for case in cases]
    assert all(risk.shape == gain.shape == (32, 32) for risk, gain in found.values())
    assert all(((risk >= 0) & (risk <= 1)).all() for risk, _ in found.values())
    gains = {place: float(np.abs(gain).sum()) for place, (_, gain) in found.items()}
    planted = {place: bool(open_ground(places.place(place)).any()) for place in found}
    assert {place: gain > 0 for place, gain in gains.items()} == planted
    blind = risks_of(a_bundle(leave_out=[*REFLECTANCE, CLOUD]), stack, places, cases)
    assert not any(gain.any() for _, gain in blind.values())


def test_the_verb_judges_plans_by_a_forecast(home, tmp_path):
    words = ["planting", home / "forecast", home / "series.zarr", "--judge", "--budget-ha", 1, "--out", tmp_path / "p"]
    done = run(*words)
    assert done.code == 0, done.text
    assert "forecast: takes away" in done.text
    assert "forecast ahead of steepest by" in done.text
    assert (tmp_path / "p" / "plans.png").exists()


def test_places_that_a_forecast_cannot_judge_are_refused(home, tmp_path):
    stack = open_stack(home / "series.zarr")
    with pytest.raises(BundleError, match="judges places of 64 px, and those of the stack are 32 x 32"):
        judge_plantings(a_bundle(place_px=64), stack)
    table = {**SLIDES, "scenarios": {**SLIDES["scenarios"], "places_per_region": 10, "futures": 1}}
    single = build_domains(domains_recipe_from_dict(table), tmp_path / "single.zarr", workers=1)
    with pytest.raises(StackError, match="begin with one picture; build them with frames"):
        judge_plantings(home / "forecast", single)
