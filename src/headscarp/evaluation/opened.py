"""What every verb that judges a bundle on a stack begins with: both opened, found to fit, and room for the result.

Refuses what `check_fits`, `check_output` and `read_split` refuse.
"""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from headscarp.core.artefact import check_output
from headscarp.core.bundle import Bundle
from headscarp.tiles.fits import Fit, check_fits
from headscarp.tiles.splits import Split, read_split, split_from_json


@dataclass(frozen=True)
class Opened:
    """fit: how the stack's bands stand to those of the bundle. folder: where the result goes; None for nowhere."""

    fit: Fit
    split: Split
    folder: Path | None


def open_to_judge(
    bundle: Bundle,
    stack: xr.Dataset,
    *,
    split: Split | str | Path | None,
    out: str | Path | None,
    overwrite: bool,
) -> Opened:
    """split: None for the one that the bundle was trained with. out: folder of the result, or None. Raises OutputError,
    StackError where the stack does not fit, SplitError."""
    folder = check_output(out, overwrite=overwrite) if out is not None else None
    fit = check_fits(bundle, stack)
    split = split_from_json(bundle.split) if split is None else split
    return Opened(fit, split if isinstance(split, Split) else read_split(split), folder)
