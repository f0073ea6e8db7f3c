"""Every net in the dict on a band with holes: finite, and indifferent to what stands under a hole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_nets import ALL, ARGUMENTS, BANDS, STATISTICS, batch_of, world

from headscarp.nets import make_net

MAYBE = tuple(replace(band, optional=band.name == "slope") for band in BANDS)


def holed(name, value):
    """The small world with a square of the slope gone; it stays valid."""
    x, valid, y = world((48, 48))
    x[1, 10:26, 8:30] = value
    return batch_of(name, (x, valid, y))


@ALL
def test_holes_of_an_optional_band_are_mapped_and_what_is_under_them_does_not_matter(name):
    torch.manual_seed(0)
    net = make_net(name, MAYBE, resolution_m=10, statistics=STATISTICS, arguments=ARGUMENTS.get(name)).eval()
    with torch.no_grad():
        clean = net.predict(holed(name, np.nan))
        assert clean.isfinite().all()
        for rubbish in (np.inf, -np.inf):
            assert torch.equal(net.predict(holed(name, rubbish)), clean)
    net.train()
    losses = net.losses(holed(name, np.nan))
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("name", ["nn", "sacnn", "unet"])
def test_a_hole_is_not_the_mean(name):
    """Else a net could not tell "nothing was seen here" from an ordinary place."""
    torch.manual_seed(0)
    net = make_net(name, MAYBE, resolution_m=10, statistics=STATISTICS, arguments=ARGUMENTS.get(name)).eval()
    with torch.no_grad():
        assert not torch.equal(net.front(holed(name, np.nan)), net.front(holed(name, STATISTICS.mean["slope"])))
