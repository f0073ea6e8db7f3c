"""Simulated regions that differ in terrain, climate, season and spectra. They borrow names and latitudes, nothing else.

Every number is a round figure chosen by hand so that no two regions look alike; none was measured in the place whose
name it stands under, and nothing here says anything about slides there.
"""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """What decides how places of a simulated region look and fail. Pairs are the range that places are drawn from.

    latitude, longitude: degrees. elevation_m: of the middle of a place. slope_deg: its mean slope. ridged: 0 rounded
    hills to 1 sharp crests. rain_mm: mean of a year. wet_day: day of the year of the wettest season; swing: 0 rain all
    year to 1 a dry season without any. storms: a year; storm_mm: a day in a heavy one. cloud: mean share clouded in
    the driest and the wettest season. warm_c: yearly mean at sea level; year_c: half the swing of temperature.
    green_lag: days from the wettest (or, where cold decides, the warmest) day to the greenest. trees, meadows, stones:
    mean shares of cover; leafless: share of trees that shed leaves. soil_tint, tree_tint: factors on the spectra of
    soil and rock, and of trees, blue to swir2. cohesion_kpa, friction_deg, depth_m: of soils. drain: share of the free
    water that leaves the soil a day. radar_db: brightness of its vegetation beside the usual.
    """

    name: str
    latitude: Range
    longitude: Range
    elevation_m: Range
    slope_deg: Range
    ridged: float
    rain_mm: float
    wet_day: int
    swing: float
    storms: float
    storm_mm: float
    cloud: Range
    warm_c: float
    year_c: float
    green_lag: int
    trees: float
    meadows: float
    stones: float
    leafless: float
    soil_tint: tuple[float, ...]
    tree_tint: tuple[float, ...]
    cohesion_kpa: float
    friction_deg: float
    depth_m: float
    drain: float
    radar_db: float


REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region(
            "america", (37.0, 48.0), (-124.0, -120.5), (150.0, 1300.0), (16.0, 27.0), 0.5,
            1300.0, 10, 0.85, 3.0, 60.0, (0.10, 0.55), 24.0, 7.0, 70, 0.55, 0.35, 0.05, 0.15,
            (1.0, 1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0, 1.0), 1.3, 31.0, 1.5, 0.22, 0.0,
        ),
        Region(
            "china", (25.0, 33.0), (101.0, 112.0), (400.0, 2200.0), (19.0, 31.0), 0.8,
            1150.0, 195, 0.75, 4.0, 70.0, (0.25, 0.55), 27.0, 10.0, 10, 0.45, 0.35, 0.10, 0.45,
            (0.88, 0.92, 1.12, 1.15, 1.08, 1.02), (0.95, 1.02, 1.0, 0.94, 1.02, 1.05), 2.2, 33.0, 1.6, 0.25, -0.6,
        ),
        Region(
            "india", (9.0, 30.0), (75.0, 79.5), (300.0, 1900.0), (17.0, 29.0), 0.6,
            2300.0, 205, 0.95, 6.0, 90.0, (0.05, 0.70), 33.0, 4.0, 25, 0.50, 0.33, 0.05, 0.55,
            (0.78, 0.86, 1.25, 1.22, 1.12, 1.10), (1.05, 1.08, 1.02, 0.90, 1.0, 1.0), 2.8, 32.5, 2.0, 0.20, 0.8,
        ),
        Region(
            "japan", (32.0, 43.0), (130.5, 142.0), (80.0, 900.0), (18.0, 30.0), 0.9,
            1750.0, 220, 0.45, 4.0, 100.0, (0.30, 0.48), 25.0, 11.0, 5, 0.72, 0.18, 0.03, 0.50,
            (0.95, 0.93, 0.90, 0.88, 0.92, 0.94), (0.92, 0.95, 0.92, 1.06, 0.96, 0.92), 0.8, 29.0, 1.1, 0.32, 0.4,
        ),
        Region(
            "andes", (-14.0, -1.0), (-79.0, -72.0), (1400.0, 3400.0), (20.0, 33.0), 0.7,
            1000.0, 45, 0.70, 4.0, 45.0, (0.20, 0.60), 27.0, 2.0, 30, 0.28, 0.50, 0.17, 0.05,
            (1.15, 1.12, 1.05, 1.02, 1.0, 0.98), (1.02, 1.0, 1.05, 0.96, 1.06, 1.08), 2.6, 31.5, 1.3, 0.24, -1.0,
        ),
        Region(
            "alps", (44.5, 47.2), (6.5, 14.0), (700.0, 2100.0), (20.0, 34.0), 1.0,
            1400.0, 190, 0.25, 4.0, 55.0, (0.30, 0.45), 16.0, 10.0, 0, 0.45, 0.32, 0.20, 0.25,
            (1.18, 1.20, 1.18, 1.12, 0.95, 0.90), (0.85, 0.88, 0.85, 0.90, 0.85, 0.82), 1.5, 32.5, 1.0, 0.30, -0.3,
        ),
        Region(
            "indonesia", (-8.5, -1.0), (101.0, 116.0), (150.0, 1600.0), (15.0, 26.0), 0.4,
            2800.0, 15, 0.40, 6.0, 80.0, (0.35, 0.62), 29.0, 1.0, 20, 0.66, 0.24, 0.02, 0.0,
            (0.82, 0.80, 0.86, 0.92, 0.90, 0.85), (1.08, 1.12, 1.0, 1.08, 0.92, 0.88), 2.6, 31.0, 2.2, 0.18, 1.2,
        ),
    )
}  # fmt: skip
"""The simulated regions by name: winter rain and dry summers (america), summer monsoon over steep rock (china), strong
monsoon over deep red soils (india), typhoons over thin soils (japan), high dry slopes (andes), snow and limestone
(alps), rain all year over deep volcanic soils (indonesia)."""
