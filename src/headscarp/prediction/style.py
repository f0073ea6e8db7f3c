"""The QGIS style (.qml) beside a map: green over yellow to red, in classes by share of area.

Refuses to change pixels. Landslides are rare, so equal steps of probability would paint nearly everything green: the
colours change where given shares of the mapped area are passed, as susceptibility maps are usually drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from headscarp.core.artefact import write_text
from headscarp.core.tile import Window
from headscarp.prediction.workfile import WorkFile

CLASSES = (
    ("very low", 0.00, "#1a9850"),
    ("low", 0.40, "#91cf60"),
    ("moderate", 0.65, "#ffffbf"),
    ("high", 0.85, "#fc8d59"),
    ("very high", 0.97, "#d73027"),
)
"""Name of each class, the share of the area below where its colour stands, and its colour (ColorBrewer RdYlGn)."""

_SAMPLED_ROWS, _SAMPLED_COLS = 256, 1024


def write_qml(map_path: Path, work: WorkFile, low: float, high: float) -> Path:
    """Writes `<stem>.qml` beside a map, with a colour ramp over the range [low, high] of its first band."""
    stops = _stops(_sample(work), low, high)
    root = ElementTree.Element("qgis", {"version": "3.34", "styleCategories": "Symbology"})
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe,
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": "1",
            "opacity": "1",
            "alphaBand": "-1",
            "nodataColor": "",
            "classificationMin": repr(low),
            "classificationMax": repr(high),
        },
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"),
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": "1",
            "clip": "0",
            "minimumValue": repr(low),
            "maximumValue": repr(high),
            "labelPrecision": "4",
        },
    )
    for (name, _, colour), value in zip(CLASSES, stops, strict=True):
        attributes = {"value": repr(value), "label": f"{name} ({value:.3g})", "color": colour, "alpha": "255"}
        ElementTree.SubElement(shader, "item", attributes)
    ElementTree.indent(root)
    doctype = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
    return write_text(map_path.with_suffix(".qml"), doctype + ElementTree.tostring(root, encoding="unicode") + "\n")


def _stops(sample: np.ndarray, low: float, high: float) -> list[float]:
    """Where each colour stands, rising from `low`; above the last, all is red."""
    if not sample.size:
        return np.linspace(0.0, 1.0, len(CLASSES)).tolist()
    shares: Sequence[float] = [share for _, share, _ in CLASSES]
    upper = np.quantile(sample.astype(np.float64), shares[1:]).tolist()
    return [low, *[min(max(value, low), high) for value in upper]]


def _sample(work: WorkFile) -> np.ndarray:
    """Valid pixels of the first band, from rows spread evenly over the map; the same for the same map."""
    rows, cols = work.shape
    step = max(1, rows // _SAMPLED_ROWS)
    first = WorkFile(work.path, 1, work.shape)
    every = max(1, cols // _SAMPLED_COLS)
    lines = [first.read(Window(row, 0, 1, cols))[0, 0, ::every] for row in range(step // 2, rows, step)]
    sample = np.concatenate(lines)
    return sample[np.isfinite(sample)]
