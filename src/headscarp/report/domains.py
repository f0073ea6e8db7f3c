"""What a stack of domains holds, in words and as a picture: classes, prevalence, frames, clouds; places with frames.

Reads the variables beside the bands, and of the bands only the places that it draws.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from headscarp.core.band import UNLABELLED
from headscarp.core.domains import BACKSCATTER, HORIZONS_DAYS, SENSORS, check_domains, events_within
from headscarp.core.errors import StackError
from headscarp.core.samples import CLASS, sample_ids
from headscarp.core.stack import open_stack
from headscarp.report.figures import hillshade, save_figure

_BRIGHT = 0.22  # reflectance that is drawn white
_DECIBEL = ((-18.0, -3.0), (-25.0, -9.0))  # VV and VH, from black to white
_LANDSAT = SENSORS.index("landsat") + 1


def describe_domains(stack: xr.Dataset) -> dict[str, Any]:
    """Facts about domains by name: samples, classes per region, prevalence per horizon, frames, clouds, causes."""
    sensor, days = stack["sensor"].to_numpy(), stack["days"].to_numpy()
    slots, event = (sensor > 0).sum(axis=1), stack["event_days"].to_numpy()
    told = "simulated: no real place or event" if stack.attrs.get("simulated") else stack.attrs.get("note", "from data")
    facts: dict[str, Any] = {"kind": "stack of domains", "origin": told}
    side = f"{stack.sizes['x']} x {stack.sizes['y']} cells of {stack.attrs.get('pixel_m', '?')} m"
    facts["samples"] = f"{stack.sizes['sample']} of {side}, up to {stack.sizes['time']} frames"
    facts["cut-offs"] = " to ".join(str(f(stack["cutoff"].to_numpy()))[:10] for f in (np.min, np.max))
    for region in dict.fromkeys(stack["region"].to_numpy().astype(object)):
        here = stack["region"].to_numpy().astype(object) == region
        facts[f"region {region}"] = f"{int(here.sum())} samples{_classes(stack, here)}"
    shares = _prevalence(event)
    facts["events within"] = ", ".join(f"{h} d: {share:.3f}" for h, share in zip(HORIZONS_DAYS, shares, strict=True))
    for region in dict.fromkeys(stack["region"].to_numpy().astype(object)):
        shares = _prevalence(event[stack["region"].to_numpy().astype(object) == region])
        facts[f"events in {region}"] = ", ".join(f"{share:.3f}" for share in shares)
    facts["causes of events"] = _causes(stack)
    facts["frames"] = f"{slots.mean():.1f} a sample, {slots.min()} to {slots.max()}; {_sensors(sensor)}"
    if slots.any():
        facts["oldest frame"] = f"{-np.nanmin(days):.0f} days before the cut-off"
        clouds = stack["cloud_share"].to_numpy()[sensor == _LANDSAT]
        facts["clouds"] = (
            f"hide {np.mean(clouds):.2f} of Landsat frames; {np.mean(clouds > 0.8):.2f} of them nearly all"
        )
    return facts


def places_figure(stack: xr.Dataset, samples: Sequence[int], *, frames: int = 6) -> Figure:
    """Places in rows: elevation, then their last frames from old to new, with what came after as an outline.

    Landsat frames are red, green, blue; radar frames VV, VH, VV in decibel. samples: which places.
    """
    figure = Figure(figsize=(1.75 * (frames + 1), 1.95 * len(samples) + 0.5), layout="constrained")
    grid = figure.subplots(len(samples), frames + 1, squeeze=False)
    for axes, number in zip(grid, samples, strict=True):
        place = stack.isel(sample=number).load()
        draw_ground(axes[0], place)
        there = np.flatnonzero(place["sensor"].to_numpy() > 0)[-frames:]
        for axis, slot in zip(axes[1:], there, strict=False):
            draw_frame(axis, place, int(slot))
        for axis in axes:
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[1 + len(there) :]:
            axis.axis("off")
    told = "SIMULATED: no real place. " if stack.attrs.get("simulated") else ""
    figure.suptitle(f"{told}Outline: slides within {HORIZONS_DAYS[-1]} days after the cut-off", fontsize=10)
    return figure


def draw_places(path: str | Path, out: str | Path, samples: Sequence[str] = (), *, frames: int = 6) -> Path:
    """Writes the figure of places of a stack of domains as PNG. samples: their names, by default one of each class.

    Raises StackError for a stack of another kind and for names that it does not have.
    """
    stack, chosen = chosen_places(path, samples)
    return save_figure(places_figure(stack, chosen, frames=frames), out)


def chosen_places(path: str | Path, samples: Sequence[str] = ()) -> tuple[xr.Dataset, list[int]]:
    """A stack of domains, and the samples of these names, by default one of each class. Raises StackError."""
    stack = check_domains(open_stack(path))
    names = sample_ids(stack)
    unknown = [name for name in samples if name not in names]
    if unknown:
        raise StackError(f"{path} has no sample {unknown[0]!r}; its names are {names[0]} to {names[-1]}")
    return stack, [names.index(name) for name in samples] or example_samples(stack)


def example_samples(stack: xr.Dataset) -> list[int]:
    """A place of each class: with an event, all slots filled, both sensors and clear frames, as far as there is one."""
    names = stack[CLASS].to_numpy().astype(object) if CLASS in stack.coords else np.array([""] * stack.sizes["sample"])
    event, full = np.isfinite(stack["event_days"].to_numpy()), (stack["sensor"].to_numpy() > 0).sum(axis=1)
    both = [(stack["sensor"].to_numpy() == code).any(axis=1) for code in (1, 2)]
    seen = np.where(stack["sensor"].to_numpy() == _LANDSAT, 1.0 - stack["cloud_share"].to_numpy(), np.nan)[:, -4:]
    looks = np.isfinite(seen).sum(axis=1)
    clouds = 1.0 - np.nansum(seen, axis=1) / np.maximum(looks, 1)  # all cloud where there is no look
    rank = 4 * event + 2 * (full == full.max()) + (both[0] & both[1]) - 4 * clouds
    regions = stack["region"].to_numpy().astype(object)
    turn = list(dict.fromkeys(regions))
    found = []
    for number, name in enumerate(dict.fromkeys(names)):  # each from another region, where that costs little
        here = np.where(names == name, rank + 0.9 * (regions == turn[number % len(turn)]), -np.inf)
        found.append(int(np.argmax(here)))
    return found


def draw_ground(axis: Any, place: xr.Dataset) -> None:
    """The relief of a place, with what it was simulated as, where it is, and what came."""
    side_km = place.attrs.get("pixel_m", 30.0) * place.sizes["x"] / 1000.0
    axis.imshow(hillshade(place["elevation"].to_numpy(), (side_km, side_km)), cmap="gray", vmin=0.0, vmax=1.0)
    name = str(place[CLASS].item()) if CLASS in place.coords else ""
    axis.set_ylabel(f"{name}\n{place['region'].item()}", fontsize=8)
    days = float(place["event_days"])
    after = "no slide" if np.isinf(days) else "slides within a day" if days <= 1 else f"slides after {days:.0f} d"
    axis.set_title(f"ground; {after}", fontsize=7)


def draw_frame(axis: Any, place: xr.Dataset, slot: int) -> None:
    """One frame of a place, with the outline of what slides after the cut-off."""
    frame = place.isel(time=slot)
    landsat = int(frame["sensor"]) == _LANDSAT
    if landsat:
        colours = np.stack([frame[name].to_numpy() for name in ("red", "green", "blue")], axis=-1)
        shown = np.clip(colours / _BRIGHT, 0.0, 1.0) ** 0.7
    else:
        bands = zip(BACKSCATTER, _DECIBEL, strict=True)
        vv, vh = (np.clip((frame[name].to_numpy() - low) / (high - low), 0.0, 1.0) for name, (low, high) in bands)
        shown = np.stack([vv, vh, vv], axis=-1)
    axis.imshow(np.nan_to_num(shown))
    label = place["landslide"].to_numpy()
    if (label == 1).any():
        axis.contour(label == 1, levels=[0.5], colors="#E69F00", linewidths=0.9)
    cloud = f", cloud {100 * float(frame['cloud_share']):.0f} %" if landsat else ""
    axis.set_title(f"{float(frame['days']):.0f} d {'Landsat' if landsat else 'radar'}{cloud}", fontsize=7)


def _classes(stack: xr.Dataset, here: np.ndarray) -> str:
    if CLASS not in stack.coords:
        return ""
    names = stack[CLASS].to_numpy().astype(object)[here].tolist()
    return "; " + ", ".join(f"{name} {names.count(name)}" for name in sorted(set(names)))


def _prevalence(event_days: np.ndarray) -> np.ndarray:
    within = events_within(event_days)
    known = within[:, 0] != UNLABELLED
    return within[known].mean(axis=0) if known.any() else np.full(within.shape[1], np.nan)


def _causes(stack: xr.Dataset) -> str:
    causes = stack["causes"].to_numpy()[np.isfinite(stack["event_days"].to_numpy())]
    totals = [(str(name), int((causes[:, k] == 1).sum())) for k, name in enumerate(stack["cause"].to_numpy())]
    several = int(((causes == 1).sum(axis=1) > 1).sum())
    return ", ".join(f"{name} {total}" for name, total in totals) + f"; several at once {several}"


def _sensors(sensor: np.ndarray) -> str:
    there = {name: (sensor == code).any(axis=1) for code, name in enumerate(SENSORS, start=1)}
    without = ", ".join(f"no {name} {int((~has).sum())}" for name, has in there.items())
    return f"samples with {without}"
