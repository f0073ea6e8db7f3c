"""How features are read from codes and numbers without making their planes: the layout that the fast paths share.

Of the planes that a categorical band is encoded to, one is 1 and the others are 0, so that a convolution over them is
a sum of rows looked up in a table. Bands with few classes share one table over all their combinations. What is read
uphill is the same with tables of its own. Nothing here computes over pixels; `_kernels` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from headscarp.core.band import Band
from headscarp.nets._lanes import LANES
from headscarp.nets.layers import Align, Encode

_MOST_ROWS = 2048  # of a table that several bands share: it has to stay in the second-level cache
CONTINUOUS, COSINE, SINE, PRESENT = range(4)


@dataclass(frozen=True)
class Plane:
    """A categorical band as codes: its channel in x, and the row that each of 256 codes stands for, of `rows`.

    columns: the feature of each row, -1 for one without (all of its weights are 0).
    """

    channel: int
    rows: int
    row_of_code: np.ndarray
    columns: tuple[int, ...]


class Layout:
    """Where the features of encoded and aligned bands come from.

    numbers: the features that are no classes, as (channel, CONTINUOUS | COSINE | ..., column), in order. planes: the
    categorical bands. aligned_numbers: (index into numbers, position among the aligned features). aligned_planes: as
    planes, with positions among the aligned features as columns. groups, aligned_groups: planes that share a table.
    plan: what the kernels are told.
    """

    def __init__(self, encode: Encode, align: Align | None) -> None:
        self.features = len(encode.names)
        self.ranges = len(align.radii) if align else 0
        self.aligned = len(align.aligned) if align else 0
        self.numbers: list[tuple[int, int, int]] = []
        self.planes: list[Plane] = []
        self.aligned_planes: list[Plane] = []
        position = {column: a for a, column in enumerate(align.chosen)} if align else {}
        column = 0
        for channel, band in enumerate(encode.bands):
            if band.kind == "categorical":
                self._add_plane(channel, band, column, position)
                column += 1 + len(band.classes)
            else:
                kinds = _number_kinds(band)
                self.numbers += [(channel, kind, column + i) for i, kind in enumerate(kinds)]
                column += len(kinds)
        self.aligned_numbers = [(n, position[c]) for n, (_, _, c) in enumerate(self.numbers) if c in position]
        self.groups = _packed(self.planes)
        self.aligned_groups = _packed(self.aligned_planes)
        # As flat arrays, for the kernels:
        self.number_channel = np.array([channel for channel, _, _ in self.numbers], np.int64)
        self.number_kind = np.array([kind for _, kind, _ in self.numbers], np.int64)
        self.number_column = np.array([column for _, _, column in self.numbers], np.int64)
        self.aligned_number = np.array([n for n, _ in self.aligned_numbers], np.int64)
        self.plane_channel, self.plane_group, self.plane_row = self._remaps()
        self.dense_planes = np.array([(p.channel, p.rows, p.columns[0]) for p in self.planes], np.int64).reshape(-1, 3)
        self.dense_aligned = self._dense_aligned()
        self.plan = (len(self.groups), self._first_rows(), self.aligned_number)

    def _add_plane(self, channel: int, band: Band, column: int, position: dict[int, int]) -> None:
        count = 1 + len(band.classes)
        codes = np.arange(256)
        known = np.where(codes < count, codes, 0)  # codes without a class are "no value"
        self.planes.append(Plane(channel, count, known, tuple(range(column, column + count))))
        chosen = [code for code in range(count) if column + code in position]
        if chosen:
            row_of_class = np.zeros(count, np.int64)
            row_of_class[chosen] = np.arange(1, 1 + len(chosen))
            columns = (-1, *(position[column + code] for code in chosen))
            self.aligned_planes.append(Plane(channel, len(columns), row_of_class[known], columns))

    def _remaps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each plane of each group: its channel, its group and, by code, its share of the row number."""
        channels, group_of, rows = [], [], []
        for g, group in enumerate((*self.groups, *self.aligned_groups)):
            stride = 1
            for plane in reversed(group):
                channels.append(plane.channel)
                group_of.append(g)
                rows.append(plane.row_of_code * stride)
                stride *= plane.rows
        return (
            np.array(channels, np.int64),
            np.array(group_of, np.int64),
            np.array(rows, np.int32).reshape(len(rows), 256),
        )

    def _dense_aligned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `write_aligned` is told: planes with aligned classes, the columns of their codes, aligned numbers."""
        classes = {plane.channel: plane.rows for plane in self.planes}
        planes = [(plane.channel, classes[plane.channel], 0) for plane in self.aligned_planes]
        columns = [np.array(plane.columns)[plane.row_of_code] for plane in self.aligned_planes]
        return (
            np.array(planes, np.int64).reshape(-1, 3),
            np.array(columns, np.int64).reshape(-1, 256),
            np.array(self.aligned_numbers, np.int64).reshape(-1, 2),
        )

    def _first_rows(self) -> np.ndarray:
        """First row of the table of each lookup, after row 0 of zeros."""
        sizes = [_rows(group) for group in self.groups] + [_rows(g) for g in self.aligned_groups] * self.ranges
        return np.cumsum([1, *sizes])[:-1].astype(np.int64)

    def tables(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights of a convolution, (out, F, k, k), as what the kernels sum up; gradients flow through.

        Returns the tables, (rows, k * k, lanes), one after the other with a row of zeros in front, and the weights of
        the numbers, (numbers + ranges * aligned numbers, k * k, lanes). lanes: out, filled up to a multiple of 16.
        """
        out, features = weight.shape[:2]
        columns = weight.permute(1, 2, 3, 0).reshape(features, -1, out)  # (F, k * k, out)
        columns = nn.functional.pad(columns, (0, -out % LANES))
        uphill = columns[self.features :].unflatten(0, (self.ranges, self.aligned)) if self.ranges else ()
        tables = [columns.new_zeros(1, *columns.shape[1:])]
        tables += [_table(group, columns) for group in self.groups]
        tables += [_table(group, of_range) for of_range in uphill for group in self.aligned_groups]
        numbers = [columns[[column for _, _, column in self.numbers]]]
        numbers += [of_range[[a for _, a in self.aligned_numbers]] for of_range in uphill]
        return torch.cat(tables), torch.cat(numbers)


def _number_kinds(band: Band) -> tuple[int, ...]:
    """What each feature of a band that is no category stands for, in the order of `feature_names`."""
    if band.kind == "direction":
        return (COSINE, SINE)
    return (CONTINUOUS, PRESENT) if band.optional else (CONTINUOUS,)


def _packed(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes in groups, the small ones together, as long as the combinations of a group are not too many."""
    groups: list[list[Plane]] = []
    for plane in sorted(planes, key=lambda plane: plane.rows):
        if groups and _rows(groups[-1]) * plane.rows <= _MOST_ROWS:
            groups[-1].append(plane)
        else:
            groups.append([plane])
    return groups


def _rows(group: Sequence[Plane]) -> int:
    return int(np.prod([plane.rows for plane in group]))


def _table(group: Sequence[Plane], columns: torch.Tensor) -> torch.Tensor:
    """(rows, k * k, lanes): for each combination of the codes of a group, the sum of their weights."""
    columns = torch.cat([columns, columns.new_zeros(1, *columns.shape[1:])])  # so that column -1 is 0
    table = columns.new_zeros(1, *columns.shape[1:])
    for plane in group:
        table = (table[:, None] + columns[list(plane.columns)][None]).flatten(0, 1)
    return table
