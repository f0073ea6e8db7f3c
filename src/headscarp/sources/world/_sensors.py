"""Scenes of Landsat 8, Sentinel-1 and Sentinel-2 of a simulated county, written one by one, each with its STAC item."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.ndimage import zoom

from headscarp.sources.world import _items as stac
from headscarp.sources.world._cogs import Site, shorten
from headscarp.sources.world._ground import SURFACES, Ground
from headscarp.sources.world._optics import see_reflectance, sun_position
from headscarp.sources.world._radar import LOOK_AZIMUTH_DEG, see_backscatter, wetness
from headscarp.sources.world._swaths import ROW, TILE, Pass, cloud_cover, middle_lonlat, swath
from headscarp.sources.world.clouds import Sky, qa_pixel, scene_classes, simulate_sky
from headscarp.sources.world.spectra import LANDSAT_BANDS, SENTINEL2_BANDS

SCALE, OFFSET = 2.75e-05, -0.2
"""Of surface reflectance in Landsat Collection 2 Level 2 (USGS LSDS-1619); 0 is fill."""

S2_QUANTIFICATION, S2_OFFSET, S2_BASELINE = 10_000, -1000, "05.09"
"""Of Sentinel-2 L2A since baseline 04.00: reflectance = (number - 1000) / 10000; 0 is no data."""

RTC_NODATA = -32768.0
RTC_LOOKS = 12.0
"""Equivalent number of looks at 20 m; every pixel has its own speckle."""

LANDSAT_CELL_M, RTC_CELL_M = 30.0, 20.0
_RADAR_DIGITS = 8  # steps of 0.01 dB


def landsat_scene(site: Site, ground: Ground, flown: Pass, moment: datetime) -> dict[str, Any]:
    rng = _rng(site, 3, flown.track, moment)
    name = f"LC08_L2SP_{flown.track:03d}{ROW:03d}_{moment:%Y%m%d}_02_T1"
    outline, seen = swath(site.county, ground, flown)
    sun = sun_position(moment, *middle_lonlat(ground.grid))
    sky = simulate_sky(seen.shape, LANDSAT_CELL_M, cloud_cover(moment.date(), rng), sun, rng)
    shares = ground.shares_on(moment.date())
    bands = see_reflectance(ground, shares, tuple(LANDSAT_BANDS.values()), sun=sun, sky=sky, rng=rng)
    numbers = np.clip(np.round((bands - OFFSET) / SCALE), 1, 65535).astype(np.uint16)
    numbers[:, ~seen] = 0
    water = shares[SURFACES.index("water")] > 0.5
    quality = qa_pixel(sky, water, ~seen, LANDSAT_CELL_M)
    covered = round(100.0 * float(sky.cloud[seen].mean()), 2) if seen.any() else 0.0
    assets = {}
    for k, (band, pixels) in enumerate(zip(LANDSAT_BANDS, numbers, strict=True)):
        said = {"scale": SCALE, "offset": OFFSET, "nodata": 0, "data_type": "uint16", "spatial_resolution": 30}
        href = site.write(f"landsat/{name}/{name}_SR_B{k + 2}.TIF", pixels, ground.grid, 0)
        assets[band] = {"href": href, "eo:bands": [{"name": f"OLI_B{k + 2}"}], "raster:bands": [said]}
    said = {"nodata": 1, "data_type": "uint16", "spatial_resolution": 30, "unit": "bit index"}
    href = site.write(f"landsat/{name}/{name}_QA_PIXEL.TIF", quality, ground.grid, 1, nearest=True)
    assets["qa_pixel"] = {"href": href, "roles": ["cloud", "cloud-shadow", "water-mask"], "raster:bands": [said]}
    properties = {
        "platform": "landsat-8",
        "instruments": ["oli", "tirs"],
        "gsd": 30,
        "eo:cloud_cover": covered,
        "landsat:wrs_type": "2",
        "landsat:wrs_path": f"{flown.track:03d}",
        "landsat:wrs_row": f"{ROW:03d}",
        "landsat:correction": "L2SP",
        "landsat:collection_number": "02",
        "landsat:collection_category": "T1",
        "view:sun_elevation": round(sun[0], 4),
        "view:sun_azimuth": round(sun[1], 4),
        "proj:code": str(ground.grid.crs),
        **stac.placed(ground.grid),
    }
    extensions = (stac.PROJECTION_2, stac.RASTER, stac.EO)
    return stac.item(
        "landsat-c2-l2", name, moment, outline, properties=properties, assets=assets, extensions=extensions
    )


def radar_scene(site: Site, ground: Ground, flown: Pass, moment: datetime) -> dict[str, Any]:
    rng = _rng(site, 4, flown.track, moment)
    end = moment + timedelta(seconds=25)
    orbit = 25_000 + (moment - datetime(2018, 12, 12)).days * 175 // 12
    name = f"S1A_IW_GRDH_1SDV_{moment:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{orbit:06d}_{orbit * 7:06X}_rtc"
    outline, seen = swath(site.county, ground, flown)
    wet = float(np.clip(wetness(moment.date()) + rng.normal(0.0, 0.15), 0.0, 1.0))
    gamma = see_backscatter(ground, moment.date(), flown.orbit, looks=RTC_LOOKS, wet=wet, rng=rng)
    gamma = shorten(np.where(seen & np.isfinite(gamma), gamma, np.float32(RTC_NODATA)), _RADAR_DIGITS)
    assets = {}
    for key, pixels in zip(("vv", "vh"), gamma, strict=True):
        said = {"nodata": int(RTC_NODATA), "data_type": "float32", "spatial_resolution": RTC_CELL_M}
        href = site.write(f"sentinel1/{name}/{key}.tif", pixels, ground.grid, RTC_NODATA)
        assets[key] = {"href": href, "raster:bands": [said]}
    properties = {
        "platform": "SENTINEL-1A",
        "constellation": "Sentinel-1",
        "sat:orbit_state": flown.orbit,
        "sat:relative_orbit": flown.track,
        "sat:absolute_orbit": orbit,
        "sar:instrument_mode": "IW",
        "sar:frequency_band": "C",
        "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD",
        "sar:looks_equivalent_number": RTC_LOOKS,
        "sar:observation_direction": "right",
        "headscarp:look_azimuth": LOOK_AZIMUTH_DEG[flown.orbit],
        "proj:epsg": ground.grid.crs.to_epsg(),  # type: ignore[union-attr]
        **stac.placed(ground.grid),
    }
    extensions = (stac.PROJECTION_1, stac.RASTER, stac.SAR, stac.SAT)
    return stac.item(
        "sentinel-1-rtc", name, moment, outline, properties=properties, assets=assets, extensions=extensions
    )


def sentinel2_scene(site: Site, grounds: dict[int, Ground], flown: Pass, moment: datetime) -> dict[str, Any]:
    rng = _rng(site, 5, flown.track, moment)
    name = f"S2A_MSIL2A_{moment:%Y%m%dT%H%M%S}_R{flown.track:03d}_T{TILE}_{moment:%Y%m%dT%H%M%S}"
    outline, _ = swath(site.county, grounds[10], flown)
    sun = sun_position(moment, *middle_lonlat(grounds[10].grid))
    fine = simulate_sky(grounds[10].valid.shape, 10.0, cloud_cover(moment.date(), rng), sun, rng)
    assets: dict[str, dict[str, Any]] = {}
    for cell, ground in grounds.items():
        _, seen = swath(site.county, ground, flown)
        sky = fine if cell == 10 else _coarser(fine, seen.shape)
        names = [b for b in SENTINEL2_BANDS if (b in ("B02", "B03", "B04", "B08")) == (cell == 10)]
        shares = ground.shares_on(moment.date())
        waves = [SENTINEL2_BANDS[band] for band in names]
        bands = see_reflectance(ground, shares, waves, sun=sun, sky=sky, rng=rng)
        numbers = np.clip(np.round(bands * S2_QUANTIFICATION) - S2_OFFSET, 1, 65535).astype(np.uint16)
        numbers[:, ~seen] = 0
        for band, pixels in zip(names, numbers, strict=True):
            href = site.write(f"sentinel2/{name}/{band}_{cell}m.tif", pixels, ground.grid, 0)
            assets[band] = {"href": href, "gsd": cell, **stac.placed(ground.grid)}
        if cell == 20:
            green = shares[: SURFACES.index("dry_grass")].sum(axis=0) > 0.4
            classes = scene_classes(sky, green, shares[SURFACES.index("water")] > 0.5, ~seen)
            href = site.write(f"sentinel2/{name}/SCL_20m.tif", classes, ground.grid, 0, nearest=True)
            assets["SCL"] = {"href": href, "gsd": 20, **stac.placed(ground.grid)}
    properties = {
        "platform": "Sentinel-2A",
        "constellation": "Sentinel 2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(100.0 * float(fine.cloud.mean()), 2),
        "s2:processing_baseline": S2_BASELINE,
        "s2:mgrs_tile": TILE,
        "sat:relative_orbit": flown.track,
        "proj:code": str(grounds[10].grid.crs),
    }
    extensions = (stac.PROJECTION_2, stac.EO, stac.SAT)
    return stac.item(
        "sentinel-2-l2a", name, moment, outline, properties=properties, assets=assets, extensions=extensions
    )


def _coarser(sky: Sky, shape: tuple[int, ...]) -> Sky:
    """The same sky on cells twice as large."""
    planes = (sky.thickness, sky.cirrus, sky.shade)
    thickness, cirrus, shade = (
        zoom(plane, (shape[0] / plane.shape[0], shape[1] / plane.shape[1]), order=1, grid_mode=True, mode="nearest")
        for plane in planes
    )
    return Sky(thickness, cirrus, shade)


def _rng(site: Site, sensor: int, track: int, moment: datetime) -> np.random.Generator:
    """Each scene has a generator of its own, so that it does not depend on which others are written."""
    return np.random.default_rng([site.county.seed, sensor, track, moment.date().toordinal()])
