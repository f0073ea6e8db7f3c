"""The pictures of a site in a row, as one PNG: before, after, what changed, and the nearest future under each task.

What a net made says so across the picture, so that it stays where one is cut out. Refuses nothing.
"""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from headscarp.core.artefact import clear_os_errors
from headscarp.report.futures import light_range

GENERATED_MARK = "GENERATED"
_PANEL_PX, _TITLE_PX, _GAP_PX = 192, 20, 6
_COLOURS = ("red", "green", "blue")
_INK, _CHANGED, _OTHER_MISSING = (28, 34, 38), np.array([0.85, 0.2, 0.1]), 0.6


def draw_strip(
    path: Path,
    before: Mapping[str, NDArray[np.floating]],
    after: Mapping[str, NDArray[np.floating]],
    changed: NDArray[np.bool_],
    futures: Mapping[str, Mapping[str, NDArray[np.floating]]],
) -> Path:
    """Writes the row. before, after and each of the futures (by task): bands (rows, columns) by name; changed: where.

    Colours are red, green and blue where all are there, else the first band in grey, on one scale for all.
    """
    names = list(_COLOURS) if set(_COLOURS) <= set(before) else [next(iter(before))]
    scale = light_range([of[name] for of in (before, after) for name in names], room=1.1)
    shown = [(title, _rgb(of, names, scale), False) for title, of in (("before", before), ("after", after))]
    grey = shown[1][1].mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    shown.append(("changed, in red", np.where(changed[..., None], 0.3 * grey + 0.7 * _CHANGED, grey), False))
    shown += [(f"if {task.replace('_', ' ')}", _rgb(of, names, scale), True) for task, of in futures.items()]
    width = len(shown) * (_PANEL_PX + _GAP_PX) - _GAP_PX
    sheet = Image.new("RGB", (width, _PANEL_PX + _TITLE_PX), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (title, picture, generated) in enumerate(shown):
        left = k * (_PANEL_PX + _GAP_PX)
        pen.text((left + 2, 2), title, fill=_INK, font=_font(13))
        panel = Image.fromarray((255 * np.clip(picture, 0, 1)).astype(np.uint8))
        sheet.paste(panel.resize((_PANEL_PX, _PANEL_PX), Image.Resampling.NEAREST), (left, _TITLE_PX))
        if generated:
            _mark(pen, (left + _PANEL_PX // 2, _TITLE_PX + _PANEL_PX - 14))
    written = io.BytesIO()
    sheet.save(written, "PNG", optimize=False)
    with clear_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written.getvalue())
    return path


def _mark(pen: ImageDraw.ImageDraw, middle: tuple[int, int]) -> None:
    font = _font(13)
    box = pen.textbbox(middle, GENERATED_MARK, font=font, anchor="mm")
    pen.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), fill=(0, 0, 0))
    pen.text(middle, GENERATED_MARK, fill="white", font=font, anchor="mm")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _rgb(
    of: Mapping[str, NDArray[np.floating]], names: Sequence[str], scale: tuple[float, float]
) -> NDArray[np.floating]:
    """(rows, columns, 3) in [0, 1], the square root of the light so that dark ground shows; missing pixels grey."""
    planes = [np.sqrt(np.clip((of[name] - scale[0]) / (scale[1] - scale[0]), 0, 1)) for name in names]
    picture = np.stack(planes if len(planes) == 3 else planes * 3, axis=-1)
    return np.where(np.isfinite(picture), picture, _OTHER_MISSING)
