"""Laws of what is looked at in frames: light changes no index, clouds no still picture, and what changed is seen."""

import numpy as np
import pytest
import torch

from headscarp.core.band import Band
from headscarp.core.domains import CLOUD_CLASSES
from headscarp.nets.look import INDICES, Look, medians, over_time
from headscarp.nets.net import Statistics

OPTICAL = (Band(name, "continuous", "1", optional=True) for name in ("red", "nir", "swir1"))
BANDS = (*OPTICAL, Band("elevation", "continuous", "m"))
STATISTICS = Statistics(
    {"red": 0.1, "nir": 0.3, "swir1": 0.2, "elevation": 900.0}, {b.name: 0.1 for b in BANDS} | {"elevation": 300.0}
)
LOOK = Look(BANDS, STATISTICS)
NDVI = LOOK.names.index("ndvi")


def frames(count=6, side=16, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.uniform(0.05, 0.4, (2, count, 4, side, side)), dtype=torch.float32)
    x[:, :, 3] = torch.tensor(1000 + np.cumsum(rng.normal(0, 5, (side, side)), 1), dtype=torch.float32)
    days = torch.tensor(-np.cumsum(rng.uniform(3, 20, (2, count)), axis=1)[:, ::-1].copy(), dtype=torch.float32)
    return x, days, torch.ones(2, count, dtype=torch.bool)


def test_light_changes_no_index():
    x = frames()[0][:, 0]
    shade = x.clone()
    shade[:, :3] *= 0.5
    for name in LOOK.pairs:
        at = LOOK.names.index(name)
        torch.testing.assert_close(LOOK(x)[:, at], LOOK(shade)[:, at])
    assert set(LOOK.pairs) == {name for name, pair in INDICES.items() if "swir2" not in pair}


def test_an_index_without_a_band_is_that_of_the_mean():
    x = frames()[0][:, 0]
    x[:, 1] = torch.nan
    assert not LOOK(x)[:, NDVI].any()
    assert LOOK(x).isfinite().all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 20, 35])
def test_medians_are_those_of_a_pixel(count):
    x, days, present = frames(count)
    x[torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.3] = torch.nan
    present = torch.rand(2, count, generator=torch.Generator().manual_seed(2)) < 0.8
    found = medians(x, days, present)
    for i in range(2):
        kept = torch.where(present[i])[0]
        newest = kept[days[i, kept].argsort(descending=True)][: (len(kept) + 1) // 2]
        oldest = torch.tensor([k for k in kept.tolist() if k not in newest.tolist()], dtype=torch.long)
        for picture, rows in zip(found, (kept, newest, oldest), strict=True):
            expected = x[i, rows].nanmedian(0).values if len(rows) else torch.full(x.shape[2:], torch.nan)
            torch.testing.assert_close(picture[i], expected, rtol=0, atol=0, equal_nan=True)


def test_the_order_of_slots_changes_nothing_and_one_cloud_neither():
    x, days, present = frames()
    x[:] = x[:, :1]
    plain = LOOK.still(x, days, present)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(LOOK.still(x[:, order], days[:, order], present[:, order]), plain)
    x[:, 2, :3] = 0.9
    medians_of = slice(0, 2 * len(LOOK.names))
    torch.testing.assert_close(LOOK.still(x, days, present)[:, medians_of], plain[:, medians_of])


def test_what_changed_is_seen_and_only_there():
    x, days, present = frames()
    x[:] = x[:, :1]
    changed = slice(len(LOOK.names), 2 * len(LOOK.names))
    assert not LOOK.still(x, days, present)[:, changed].any()
    x[:, 2:, 1, 4:8, 4:8] = 0.02  # felled between the second and the third frame
    x[:, :2, 1, 4:8, 4:8] = 0.4
    seen = LOOK.still(x, days, present)[:, len(LOOK.names) + NDVI]
    assert (seen[:, 4:8, 4:8] < 0).all()
    seen[:, 4:8, 4:8] = 0
    assert not seen.any()
    nothing = LOOK.still(x, days, torch.zeros_like(present))
    assert nothing.isfinite().all()
    assert not nothing[:, changed].any()


def test_what_a_pixel_was_over_time_by_hand():
    x = torch.tensor([1.0, torch.nan, 4.0, 9.0]).view(1, 4, 1, 1, 1)
    days, present = torch.tensor([[-300.0, -200.0, -100.0, -50.0]]), torch.tensor([[True, True, True, False]])
    found = [float(v) for v in over_time(x, days, present)]
    assert found == pytest.approx([4.0, 1.0, 2.5, 1.5, -1.0, 2 / 3])
    order = torch.tensor([2, 3, 0, 1])
    assert [float(v) for v in over_time(x[:, order], days[:, order], present[:, order])] == pytest.approx(found)
    assert not any(v.any() for v in over_time(x, days, torch.zeros_like(present)))


def test_what_quality_calls_cloud_is_not_looked_at():
    bands = (*BANDS, Band("cloud", "categorical", classes=CLOUD_CLASSES))
    look = Look(bands, STATISTICS)
    x, days, present = frames()
    quality = torch.ones_like(x[:, :, :1])
    quality[:, 1], quality[:, 2] = 2, 3
    clear = torch.cat([x, quality], dim=2)
    clouded = clear.clone()
    clouded[:, 1:3, :3] = 0.8
    torch.testing.assert_close(look(clouded[:, 1]), look(clear[:, 1]))
    torch.testing.assert_close(look.still(clouded, days, present), look.still(clear, days, present))
    assert not torch.equal(LOOK(clouded[:, 1, :4]), LOOK(clear[:, 1, :4]))


def test_hollows_are_seen_whatever_the_height():
    x, days, present = frames()
    rows, cols = np.mgrid[:16, :16] - 7.5
    x[:, :, 3] = torch.tensor(800 + rows**2 + cols**2, dtype=torch.float32)
    low = LOOK.still(x, days, present)[:, -3:]
    x[:, :, 3] += 1500
    torch.testing.assert_close(LOOK.still(x, days, present)[:, -3:], low, rtol=1e-2, atol=1e-2)
    assert (low[:, 1, 7:9, 7:9] > 0).all()
    assert (low[:, 0, 7:9, 7:9] < 0).all()
