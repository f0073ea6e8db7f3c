"""The QGIS style (.qml) beside the polygons of a map: one colour for each class of certainty.

QGIS takes it up by its name, as it does beside a raster. A table of styles inside the GeoPackage would be one more
layer to everybody who reads the file, so there is none.
"""

from pathlib import Path
from xml.etree import ElementTree

from headscarp.core.artefact import write_text

COLOURS = {"certain": "#b2182b", "probable": "#ef8a62", "questionable": "#fddbc7"}
"""Fill of each class of certainty (ColorBrewer RdBu)."""
_OUTLINE, _OPAQUE = "#67001f", 0.7


def write_polygon_qml(path: Path) -> Path:
    """Writes `<stem>.qml` beside polygons that have a column `certainty`. Raises OutputError where the disk is full."""
    return write_text(path.with_suffix(".qml"), style_qml())


def style_qml() -> str:
    """The style as QGIS writes it: polygons in the colour of their certainty."""
    root = ElementTree.Element("qgis", {"version": "3.22", "styleCategories": "Symbology"})
    renderer = ElementTree.SubElement(root, "renderer-v2", {"type": "categorizedSymbol", "attr": "certainty"})
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for number, (name, colour) in enumerate(COLOURS.items()):
        category = {"value": name, "label": name, "symbol": str(number), "render": "true"}
        ElementTree.SubElement(categories, "category", category)
        symbol = {"type": "fill", "name": str(number), "alpha": str(_OPAQUE), "clip_to_extent": "1"}
        fill = ElementTree.SubElement(
            ElementTree.SubElement(symbols, "symbol", symbol), "layer", {"class": "SimpleFill"}
        )
        options = {"color": _rgba(colour), "outline_color": _rgba(_OUTLINE), "outline_width": "0.2", "style": "solid"}
        for key, value in options.items():
            ElementTree.SubElement(fill, "prop", {"k": key, "v": value})
    ElementTree.indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(
        root, encoding="unicode"
    )


def _rgba(colour: str) -> str:
    return ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5)) + ",255"
