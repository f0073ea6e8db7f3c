"""Simulated domains: samples of 12 frames at 64 px per second, against the same formulae as a plain loop over cells.

    python benchmarks/domains.py

The loop goes over the cells and does each with numpy vectors (surfaces, bands, pressures); noise, random numbers and
weather are shared by both. Then a build to disk, file writing and all, on two workers. Fails (exit 1) where the two
give different samples, where ours is less than 5 times as fast, or where 1,000 samples would take more than a minute
of two cores' processor time (wall seconds where nothing else runs).
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _bench import alternate, describe_machine, print_table, timed, verdict

from headscarp.assemble.domain_recipe import domains_recipe_from_dict
from headscarp.assemble.domains import build_domains
from headscarp.sources.world.domains import Look, draw_site, frames, hazard, simulate_sample
from headscarp.sources.world.law import SOIL_KN_PER_M3, WATER_KN_PER_M3

SAMPLES = int(os.environ.get("HEADSCARP_BENCH_SAMPLES", "280"))
LOOK = Look(seed=1)
BAR, CORES = 5.0, 2
NUMBERS = (0, 1, 2, 4)  # an eruption, an earthquake, a clearing, a pit


def main() -> int:
    print(f"simulated domains, {LOOK.frames} frames of {LOOK.side_px} x {LOOK.side_px}; {describe_machine()}")
    sites = [draw_site("india", number, LOOK) for number in NUMBERS]
    found = alternate(lambda: looped(sites), lambda: [simulate_sample(site, LOOK) for site in sites], rounds=3)
    gap = max(largest_gap(one, two) for one, two in zip(found["a_result"], found["b_result"], strict=True))
    each = len(sites)
    wall_s, cpu_s = built()
    minute = 1000 * cpu_s / SAMPLES / CORES
    rows = [
        {"what": "plain loop, one core", "samples per s": each / found["a_s"]},
        {"what": "simulate_sample, one core", "samples per s": each / found["b_s"]},
        {"what": f"headscarp domains build of {SAMPLES}, two workers", "samples per s": SAMPLES / wall_s},
    ]
    print_table(rows, title="median of 3 rounds in turn")
    return verdict(
        [
            (f"both give the same samples: largest gap {gap:.1e}", gap < 1e-5),
            (f"at least {BAR:g} times as fast as the loop: {found['ratio']:.0f}", found["ratio"] >= BAR),
            (f"1,000 samples in a minute of {CORES} cores: {minute:.0f} s of their processor time", minute <= 60.0),
        ]
    )


def built() -> tuple[float, float]:
    """Wall and processor seconds of a build on two workers, to files."""
    table = {"samples_per_region": SAMPLES // 7}
    with tempfile.TemporaryDirectory() as folder:
        recipe = domains_recipe_from_dict({"name": "bench", "seed": 1, "simulate": table})
        return timed(lambda: build_domains(recipe, Path(folder) / "domains.zarr", workers=CORES))[:2]


def looped(sites: list) -> list[dict]:
    with loops_for_kernels():
        return [simulate_sample(site, LOOK) for site in sites]


@contextmanager
def loops_for_kernels() -> Iterator[None]:
    """The simulator with the loops below in place of its kernels."""
    put = [(frames, f) for f in (surface_shares, see_surfaces, see_echoes)] + [
        (hazard, f) for f in (add_hazards, cell_hazards)
    ]
    kept = [(room, loop.__name__, getattr(room, loop.__name__)) for room, loop in put]
    for room, loop in put:
        setattr(room, loop.__name__, loop)
    try:
        yield
    finally:
        for room, name, kernel in kept:
            setattr(room, name, kernel)


def surface_shares(cover, kind, day, ash, frozen, season, out):
    when, green, bare, ash_day = season
    for i, j in np.ndindex(kind.shape):
        since, code, shares, keep = when - day[i, j], kind[i, j], np.zeros(9), 1.0
        if since >= 0.0 and code > 0:
            back = 1.0 - np.exp(-since / 700.0)
            keep = (0.06, 0.0, 0.25, 0.35 + 0.3 * back)[code - 1]
            rest = 1.0 - keep
            if code == 1:
                grown, fresh = 0.9 * back, 1.0 - back
                shares[[1, 2, 3]] = rest * np.array(
                    [grown * green, grown * (1 - green) + 0.3 * fresh, 0.1 * back + 0.7 * fresh]
                )
            elif code == 2:
                shares[[3, 4]] = 0.25, 0.75
            elif code == 3:
                shares[[3, 4, 6]] = 0.40, 0.15, 0.20
            else:
                shares[[3, 4]] = 0.75 * rest, 0.25 * rest
        c = keep * cover[:, i, j]
        shares[0] += c[0] * (1.0 - bare)
        shares[[2, 3]] += c[0] * bare * np.array([0.55, 0.45])
        shares[1] += c[1] * green
        shares[2] += c[1] * (1.0 - green) + c[2]
        shares[3:7] += c[3:7]
        over = ash[i, j] * np.exp(-(when - ash_day) / 150.0) if when >= ash_day else 0.0
        snow = frozen[i, j]
        shares[:7] *= (1.0 - over) * (1.0 - snow)
        shares[7], shares[8] = over * (1.0 - snow), snow
        out[:, i, j] = shares


def see_surfaces(shares, pure, light, clouds, white, noise, out):
    for i, j in np.ndindex(light.shape):
        mixed = shares[:, i, j] @ pure * light[i, j] * clouds[2, i, j]
        mixed += clouds[0, i, j] * (white - mixed)
        mixed += clouds[1, i, j] * (white - mixed)
        out[:, i, j] = np.clip(mixed + noise[:, i, j], 0.0, 1.3)


def see_echoes(shares, power, facing, texture, speckle, out):
    for i, j in np.ndindex(facing.shape):
        mixed = shares[:, i, j] @ power * facing[i, j] * texture[i, j] * speckle[:, i, j]
        out[:, i, j] = 10.0 * np.log10(np.maximum(mixed, 1e-5))


def add_hazards(slope, roots, wetter, kind, day, ash, times, soil, factors, when, pressures, out):
    for i, j in np.ndindex(slope.shape):
        wet = np.minimum(1.0, pressures * wetter[i, j])
        place = (slope[i, j], roots[i, j], kind[i, j], day[i, j], ash[i, j])
        out += power_of(*place, wet, times, soil, factors, when)


def cell_hazards(slope, roots, wetter, kind, day, ash, times, soil, factors, when, pressure, out):
    for i, j in np.ndindex(slope.shape):
        wet = np.minimum(1.0 if factors[3] > 0.0 else 0.05, np.array([pressure * wetter[i, j]]))
        place = (slope[i, j], roots[i, j], kind[i, j], day[i, j], ash[i, j])
        out[i, j] = power_of(*place, wet, times, soil, factors, when)[0]


def power_of(slope, roots, kind, day, ash, wet, times, soil, factors, when):
    """Power of the factor of safety of a cell for each of a vector of pressures."""
    since, steep, held = when - day, slope, roots
    if since >= 0.0:
        if kind == 1 and factors[2] > 0.0:
            held = roots * (np.exp(-since / 200.0) + 0.5 * (1.0 - np.exp(-since / 1500.0)))
        elif kind == 2 and factors[4] > 0.0:
            held, steep = 0.1 * roots, slope + 9.0
        elif kind == 3 and factors[5] > 0.0:
            held, steep = 0.2 * roots, slope + 10.0
        elif kind == 4 and factors[1] > 0.0:
            held = 0.5 * roots
    depth = soil[2] * (1.15 - 0.0105 * slope if slope < 30.0 else max(0.2, 0.835 - 0.022 * (slope - 30.0)))
    cohesion = soil[0] + held
    if factors[1] > 0.0 and when >= times[2]:
        cohesion *= 1.0 - 0.85 * times[1] * np.exp(-(when - times[2]) / 80.0)
    if factors[0] > 0.0 and when >= times[0]:
        left = ash * np.exp(-(when - times[0]) / 150.0)
        depth, cohesion = depth + 0.35 * left, cohesion * (1.0 - 0.55 * left)
        wet = np.minimum(1.0, wet * (1.0 + 0.6 * left))
    if max(steep, 0.5) < 4.0:
        return np.zeros(len(wet))
    sine, cosine = np.sin(np.radians(steep)), np.cos(np.radians(steep))
    friction = (SOIL_KN_PER_M3 - wet * WATER_KN_PER_M3) * depth * cosine**2 * soil[1]
    return np.maximum((cohesion + friction) / (SOIL_KN_PER_M3 * depth * sine * cosine), 0.6) ** -soil[3]


def largest_gap(one: dict, two: dict) -> float:
    """Largest difference of two samples; infinite where they do not miss the same cells."""
    gaps = [0.0]
    for name, values in one.items():
        a, b = np.asarray(values, np.float64), np.asarray(two[name], np.float64)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf")
        there = np.isfinite(a)
        gaps.append(float(np.abs(a[there] - b[there]).max(initial=0.0)))
    return max(gaps)


if __name__ == "__main__":
    sys.exit(main())
