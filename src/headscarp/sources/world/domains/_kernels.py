"""The loops over the cells of a simulated place: hazards, and what surfaces and sensors make of each other.

Plain arrays in, plain arrays filled. They trust their callers: no argument is checked here. Codes are those of
`ground.SURFACES` and `stories`, causes those of `core.domains.CAUSES`.
"""

import numpy as np
from numba import njit

from headscarp.sources.world.law import SOIL_KN_PER_M3, WATER_KN_PER_M3

_DRY = 0.05  # pore pressure at most, where rain is taken away as a cause
_GENTLE_DEG = 4.0  # nothing slides below


@njit(nogil=True, cache=True)
def cell_hazards(slope, roots, wetter, kind, day, ash, times, soil, factors, when, pressure, out):  # type: ignore[no-untyped-def]
    """Fills out (y, x) with FS^-steepness of each cell on a day; see `hazard` for what the others are."""
    for i in range(slope.shape[0]):
        for j in range(slope.shape[1]):
            s, z, c = _strength(slope[i, j], roots[i, j], kind[i, j], day[i, j], ash[i, j], times, soil, factors, when)
            wet = min(1.0, pressure * wetter[i, j]) if factors[3] > 0.0 else min(_DRY, pressure * wetter[i, j])
            out[i, j] = _power(s, z, c, _sealed(wet, ash[i, j], times, factors, when), soil)


@njit(nogil=True, cache=True)
def add_hazards(slope, roots, wetter, kind, day, ash, times, soil, factors, when, pressures, out):  # type: ignore[no-untyped-def]
    """Adds the sum over all cells to out, one for each of pressures."""
    for i in range(slope.shape[0]):
        for j in range(slope.shape[1]):
            if slope[i, j] < _GENTLE_DEG and kind[i, j] == 0:
                continue
            s, z, c = _strength(slope[i, j], roots[i, j], kind[i, j], day[i, j], ash[i, j], times, soil, factors, when)
            for k in range(pressures.size):
                wet = min(1.0, pressures[k] * wetter[i, j])
                out[k] += _power(s, z, c, _sealed(wet, ash[i, j], times, factors, when), soil)


@njit(nogil=True, cache=True)
def _strength(slope, roots, kind, day, ash, times, soil, factors, when):  # type: ignore[no-untyped-def]
    """Slope in degrees, depth in metres and cohesion in kPa of a cell on a day."""
    since = when - day
    steep, held = slope, roots
    if since >= 0.0 and kind > 0:
        if kind == 1 and factors[2] > 0.0:  # dead roots rot in a year or two, new ones take longer
            held = roots * (np.exp(-since / 200.0) + 0.5 * (1.0 - np.exp(-since / 1500.0)))
        elif kind == 2 and factors[4] > 0.0:
            held, steep = 0.1 * roots, slope + 9.0
        elif kind == 3 and factors[5] > 0.0:
            held, steep = 0.2 * roots, slope + 10.0
        elif kind == 4 and factors[1] > 0.0:
            held = 0.5 * roots
    # Soil thins on steep ground: what could slide there has gone.
    depth = soil[2] * (1.15 - 0.0105 * slope if slope < 30.0 else max(0.2, 0.835 - 0.022 * (slope - 30.0)))
    cohesion = soil[0] + held
    if factors[1] > 0.0 and when >= times[2]:
        cohesion *= 1.0 - 0.85 * times[1] * np.exp(-(when - times[2]) / 80.0)
    if factors[0] > 0.0 and when >= times[0]:
        left = ash * np.exp(-(when - times[0]) / 150.0)
        depth += 0.35 * left
        cohesion *= 1.0 - 0.55 * left
    return max(steep, 0.5), depth, cohesion


@njit(nogil=True, cache=True)
def _sealed(wet, ash, times, factors, when):  # type: ignore[no-untyped-def]
    """Water under ash, which lets little of it out again."""
    if factors[0] > 0.0 and when >= times[0]:
        return min(1.0, wet * (1.0 + 0.6 * ash * np.exp(-(when - times[0]) / 150.0)))
    return wet


@njit(nogil=True, cache=True)
def _power(slope, depth, cohesion, wet, soil):  # type: ignore[no-untyped-def]
    if slope < _GENTLE_DEG:
        return 0.0
    angle = np.radians(slope)
    sine, cosine = np.sin(angle), np.cos(angle)
    friction = (SOIL_KN_PER_M3 - wet * WATER_KN_PER_M3) * depth * cosine * cosine * soil[1]
    safety = (cohesion + friction) / (SOIL_KN_PER_M3 * depth * sine * cosine)
    # Past a factor of 0.6 the rise ends: such ground has gone long ago.
    return max(safety, 0.6) ** -soil[3]


@njit(nogil=True, cache=True)
def surface_shares(cover, kind, day, ash, frozen, season, out):  # type: ignore[no-untyped-def]
    """Fills out (9, y, x) with the shares of the surfaces on a day. cover: (7, y, x). frozen: (y, x) share under snow.
    season: day, green share of grass, share of trees without leaves, first day of ash."""
    when, green, bare, ash_day = season
    for i in range(kind.shape[0]):
        for j in range(kind.shape[1]):
            since = when - day[i, j]
            keep = 1.0
            for k in range(9):
                out[k, i, j] = 0.0
            if since >= 0.0 and kind[i, j] > 0:
                back = 1.0 - np.exp(-since / 700.0)
                if kind[i, j] == 1:  # felled: soil and slash, then grass and shrubs
                    keep = 0.06
                    out[1, i, j] += (1.0 - keep) * 0.9 * back * green
                    out[2, i, j] += (1.0 - keep) * (0.9 * back * (1.0 - green) + 0.3 * (1.0 - back))
                    out[3, i, j] += (1.0 - keep) * (0.1 * back + 0.7 * (1.0 - back))
                elif kind[i, j] == 2:
                    keep = 0.0
                    out[3, i, j] += 0.25
                    out[4, i, j] += 0.75
                elif kind[i, j] == 3:
                    keep = 0.25
                    out[3, i, j] += 0.40
                    out[4, i, j] += 0.15
                    out[6, i, j] += 0.20
                else:
                    keep = 0.35 + 0.3 * back
                    out[3, i, j] += 0.75 * (1.0 - keep)
                    out[4, i, j] += 0.25 * (1.0 - keep)
            trees = keep * cover[0, i, j]
            out[0, i, j] += trees * (1.0 - bare)
            out[2, i, j] += 0.55 * trees * bare
            out[3, i, j] += 0.45 * trees * bare
            out[1, i, j] += keep * cover[1, i, j] * green
            out[2, i, j] += keep * (cover[1, i, j] * (1.0 - green) + cover[2, i, j])
            for k in range(3, 7):
                out[k, i, j] += keep * cover[k, i, j]
            over = ash[i, j] * np.exp(-(when - ash_day) / 150.0) if when >= ash_day else 0.0
            snow = frozen[i, j]
            for k in range(7):
                out[k, i, j] *= (1.0 - over) * (1.0 - snow)
            out[7, i, j] = over * (1.0 - snow)
            out[8, i, j] = snow


@njit(nogil=True, cache=True)
def see_surfaces(shares, pure, light, clouds, white, noise, out):  # type: ignore[no-untyped-def]
    """Fills out (bands, y, x) with reflectance: linear mixing, light, two layers of cloud, noise. pure: (surfaces,
    bands). clouds: (3, y, x) thickness, cirrus, shade. white: (bands,) of a cloud. noise: (bands, y, x)."""
    for b in range(pure.shape[1]):
        for i in range(light.shape[0]):
            for j in range(light.shape[1]):
                mixed = np.float32(0.0)
                for k in range(pure.shape[0]):
                    mixed += shares[k, i, j] * pure[k, b]
                mixed *= light[i, j] * clouds[2, i, j]
                mixed += clouds[0, i, j] * (white[b] - mixed)
                mixed += clouds[1, i, j] * (white[b] - mixed)
                out[b, i, j] = min(np.float32(1.3), max(np.float32(0.0), mixed + noise[b, i, j]))


@njit(nogil=True, cache=True)
def see_echoes(shares, power, facing, texture, speckle, out):  # type: ignore[no-untyped-def]
    """Fills out (2, y, x) with backscatter in dB; NaN where facing is, in layover and in shadow. power: (surfaces, 2)
    linear. facing: (y, x) factor by the lie of the slope."""
    for p in range(2):
        for i in range(facing.shape[0]):
            for j in range(facing.shape[1]):
                mixed = np.float32(0.0)
                for k in range(power.shape[0]):
                    mixed += shares[k, i, j] * power[k, p]
                mixed *= facing[i, j] * texture[i, j] * speckle[p, i, j]
                floor = np.float32(1e-5)
                out[p, i, j] = np.float32(10.0) * np.log10(floor if mixed < floor else mixed)
