"""What nets over time are told beside the pixels: the names of the numbers of a frame, in groups, and nothing else.

The numbers are made in `tiles.series`, from places, dates and weather; a net takes the columns of the groups it was
asked for. Refuses unknown groups.
"""

from collections.abc import Collection
from dataclasses import dataclass

from headscarp.core.errors import RecipeError

RAIN_DAYS = (1, 3, 7, 30, 90)
SOIL_DAYS = (1, 30)
SEASON_RAIN_DAYS, SEASON_SOIL_DAYS = (30, 90, 180), (30, 180)
"""Of the days that followed a year before the cut-off: what the coming season is like there, without saying where."""


@dataclass(frozen=True)
class Feature:
    """One number of a frame. of_frame: it differs from frame to frame; others are of the place or of the cut-off, and
    stand in every slot, padded ones too."""

    name: str
    group: str
    of_frame: bool = False


def _weather(before: str, *, of_frame: bool) -> tuple[Feature, ...]:
    rain = [Feature(f"rain_{days}d before the {before}", "weather", of_frame) for days in RAIN_DAYS]
    soil = [Feature(f"soil_moisture_{days}d before the {before}", "weather", of_frame) for days in SOIL_DAYS]
    return (*rain, *soil)


def _season() -> tuple[Feature, ...]:
    rain = [Feature(f"rain_{days}d from a year before the cut-off", "weather") for days in SEASON_RAIN_DAYS]
    soil = [Feature(f"soil_moisture_{days}d from a year before the cut-off", "weather") for days in SEASON_SOIL_DAYS]
    return (*rain, *soil)


FEATURES = (
    *(Feature(name, "position") for name in ("latitude:sin", "latitude:cos", "longitude:sin", "longitude:cos")),
    Feature("elevation_m", "position"),
    *_weather("cut-off", of_frame=False),
    *_season(),
    *_weather("frame", of_frame=True),
    *(Feature(name, "view") for name in ("resolution_m", "cut-off:sin", "cut-off:cos")),
    *(Feature(name, "view", True) for name in ("date:sin", "date:cos", "sun_elevation", "sun:north", "sun:east")),
    Feature("cloud_share", "view", True),
)
"""In the order of the columns of `Batch.metadata`. Latitude, longitude, dates and the sun's azimuth go round, so they
stand as sine and cosine; rain is log(1 + mm) of the sum over so many days; soil moisture in m3/m3, the mean."""

NAMES = tuple(feature.name for feature in FEATURES)
CHOICES = {
    "none": (),
    "position": ("position",),
    "weather": ("weather",),
    "all": ("position", "weather", "view"),
}


def metadata_columns(choice: str, *, leave_out: Collection[str] = ()) -> tuple[int, ...]:
    """The columns of `Batch.metadata` that a net reads which was asked for this choice, rising.

    choice: "none", "position", "weather" or "all". leave_out: names that are not read all the same. Raises RecipeError
    for another choice.
    """
    if choice not in CHOICES:
        raise RecipeError(f"there is no metadata {choice!r}; use one of {', '.join(CHOICES)}")
    groups = CHOICES[choice]
    return tuple(i for i, f in enumerate(FEATURES) if f.group in groups and f.name not in leave_out)
