"""A small world of series with a planted rule: bare soil in the newest clear frame and rain bring slides."""

import numpy as np
import xarray as xr

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import BACKSCATTER, CAUSES, CLOUD, HORIZONS_DAYS, REFLECTANCE, SERIES_DAYS, domain_bands
from headscarp.core.stack import band_attrs

REGIONS = ("andes", "india", "sichuan")


def series_world(count=24, slots=5, side=16, seed=0) -> xr.Dataset:
    """Samples of `slots` frames, the last slot of each third one padded; events within days where it is bare and wet.

    The law: rate = 0.02 (1 + 60 bare) (1 + 4 wet) a month. Every second sample is bare, every third wet.
    """
    rng = np.random.default_rng(seed)
    bare, wet = np.arange(count) % 2 == 0, np.arange(count) % 3 == 0
    days = np.sort(-rng.integers(2, 300, (count, slots)), axis=1).astype(np.float32)
    sensor = np.where(np.arange(slots) % 2 == 0, 1, 2) * np.ones((count, 1), int)
    days[::3, -1], sensor[::3, -1] = np.nan, 0
    cloud_share = np.where(sensor == 1, rng.random((count, slots)) < 0.3, np.nan).astype(np.float32)
    rate = 0.02 * (1 + 60 * bare) * (1 + 4 * wet)
    event_days = np.ceil(30 * rng.exponential(1 / rate)).astype(np.float32)
    event_days[event_days > 365] = np.inf
    slides = event_days <= HORIZONS_DAYS[-1]
    patch = np.zeros((side, side), bool)
    patch[side // 4 : side // 2, side // 4 : side // 2] = True
    bands = {}
    for band in domain_bands("a small world"):
        shape = (count, slots, side, side) if band.name in (*REFLECTANCE, *BACKSCATTER, CLOUD) else (count, side, side)
        if band.name in REFLECTANCE:
            green = 0.05 + 0.3 * (band.name == "nir") * (1 - 0.8 * bare[:, None, None, None] * patch)
            values = np.broadcast_to(green, shape) + rng.normal(0, 0.01, shape)
            values = np.where((cloud_share > 0)[..., None, None], 0.6 + rng.normal(0, 0.05, shape), values)
            values = np.where((sensor == 1)[..., None, None], values, np.nan)
        elif band.name in BACKSCATTER:
            values = -10 - 3 * bare[:, None, None, None] * patch + rng.normal(0, 1, shape)
            values = np.where((sensor == 2)[..., None, None], values, np.nan)
        elif band.name == CLOUD:
            values = np.where(sensor == 1, 1 + np.nan_to_num(cloud_share), 0)[..., None, None] * np.ones(shape)
        elif band.kind == "label":
            values = slides[:, None, None] & patch
        else:
            values = rng.normal(20, 5, shape)
        dims = ("sample", "time", "y", "x")[: len(shape)] if len(shape) == 4 else ("sample", "y", "x")
        bands[band.name] = (dims, values.astype(band.dtype), band_attrs(band))
    causes = np.zeros((count, len(CAUSES)), np.uint8)
    causes[:, CAUSES.index("deforestation")], causes[:, CAUSES.index("rain")] = bare, wet
    causes[~slides] = UNLABELLED
    rain = rng.gamma(0.3, 6, (count, SERIES_DAYS)) + 25 * wet[:, None] * (np.arange(SERIES_DAYS) > 350)
    seen = np.where(sensor == 1, 1, np.nan)
    facts = {
        "days": (("sample", "time"), days),
        "sensor": (("sample", "time"), sensor.astype(np.uint8)),
        "sun_elevation": (("sample", "time"), (seen * 50).astype(np.float32)),
        "sun_azimuth": (("sample", "time"), (seen * 140).astype(np.float32)),
        "cloud_share": (("sample", "time"), cloud_share),
        "rain_mm_per_day": (("sample", "day"), rain.astype(np.float32)),
        "soil_moisture": (("sample", "day"), (0.2 + 0.1 * wet[:, None] * np.ones(SERIES_DAYS)).astype(np.float32)),
        "event_days": (("sample",), event_days),
        "causes": (("sample", "cause"), causes),
        "thriving": (("sample",), (~bare).astype(np.uint8)),
        "law": (("sample", "horizon"), (1 - np.exp(-rate[:, None] * np.array(HORIZONS_DAYS) / 30)).astype(np.float32)),
    }
    along = {
        "sample_id": [f"p{i}" for i in range(count)],
        "region": [REGIONS[i // 6 % 3] for i in range(count)],
    }
    coords = {name: ("sample", np.array(values, object)) for name, values in along.items()}
    coords |= {
        "cutoff": ("sample", np.datetime64("2015-06-01", "ns") + np.arange(count) * np.timedelta64(40, "D")),
        "latitude": ("sample", np.linspace(-30, 30, count).astype(np.float32)),
        "longitude": ("sample", np.linspace(-70, 100, count).astype(np.float32)),
        "elevation_m": ("sample", np.linspace(100, 3000, count).astype(np.float32)),
        "day": ("day", np.arange(-SERIES_DAYS, 0)),
        "cause": ("cause", np.array(CAUSES, object)),
        "horizon": ("horizon", np.array(HORIZONS_DAYS)),
    }
    attrs = {"headscarp_stack": 1, "pixel_m": 30.0, "bands": list(bands)}
    return xr.Dataset({**bands, **facts}, coords=coords, attrs=attrs)
