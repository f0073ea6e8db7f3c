"""What a recipe says of pairs beyond their files: which task each class comes from, and the region that each lies in.

Refuses classes without a task, and pairs without a position where regions are asked for.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headscarp.core.errors import SourceError


def tasks_of(classes: Sequence[str], tasks: Mapping[str, str]) -> list[str]:
    """The task that made each pair what it is, "" where its class is not known. Raises SourceError for a class that
    `tasks` does not name."""
    lost = sorted(set(classes) - {"", *tasks})
    if lost:
        raise SourceError(
            f"[pairs] tasks does not say what the class {lost[0]!r} comes from; name a task for each of: "
            f"{', '.join(sorted(set(classes) - {''}))}"
        )
    return [tasks[name] if name else "" for name in classes]


def regions_of(latitude: NDArray[np.float64], longitude: NDArray[np.float64], count: int) -> list[str]:
    """The name of the cluster that each pair lies in: k-means of positions on the sphere, numbered from west to east.

    latitude, longitude: (N,) degrees. Raises SourceError where positions are missing or too few."""
    from sklearn.cluster import KMeans

    if not (np.isfinite(latitude) & np.isfinite(longitude)).all() or len(latitude) < count:
        raise SourceError(f"{count} regions were asked for of {len(latitude)} pairs, each with a position")
    north, east = np.deg2rad(latitude), np.deg2rad(longitude)
    sphere = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    of = KMeans(count, n_init=10, random_state=0).fit_predict(sphere)
    order = np.argsort([longitude[of == k].mean() for k in range(count)])
    return [f"region {int(np.flatnonzero(order == k)[0]) + 1}" for k in of]


def validating(parts: Sequence[str], groups: Sequence[str], share: float, seed: int) -> list[str]:
    """The parts, with groups of the training part, drawn from the seed, as validation until they hold the share."""
    if "validation" in parts:
        return list(parts)
    training = [group for group, part in zip(groups, parts, strict=True) if part == "train"]
    chosen: set[str] = set()
    for group in np.random.default_rng(seed).permutation(sorted(set(training))).tolist():
        if sum(one in chosen for one in training) >= share * len(training):
            break
        chosen.add(group)
    validates = [part == "train" and group in chosen for group, part in zip(groups, parts, strict=True)]
    return ["validation" if v else part for v, part in zip(validates, parts, strict=True)]
