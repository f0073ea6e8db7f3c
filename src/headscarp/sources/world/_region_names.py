"""Class tables of the simulated region: 43 rocks in 4 families, 37 ages, 4 land covers. Names only, no geography."""

import numpy as np

_ROCKS_OF_FAMILY = {
    "igneous": (
        "granite, granodiorite, tonalite, diorite, gabbro, syenite, monzonite, porphyry, rhyolite, dacite, andesite, "
        "basalt, trachyte, tuff"
    ),
    "metamorphic": (
        "gneiss, orthogneiss, paragneiss, mica schist, schist, phyllite, slate, marble, quartzite, amphibolite, "
        "serpentinite, mylonite"
    ),
    "sedimentary": (
        "limestone, dolomite, impure limestone, travertine, chert, gypsum, sandstone, arkose, siltstone, claystone, "
        "shale, conglomerate, breccia"
    ),
    "loose": "gravel, sand, silt, diamicton",
}

FAMILIES = tuple(_ROCKS_OF_FAMILY)
ROCKS = tuple(rock for rocks in _ROCKS_OF_FAMILY.values() for rock in rocks.split(", "))
FAMILY_OF_ROCK = np.array(
    [0, *(code for code, rocks in enumerate(_ROCKS_OF_FAMILY.values(), 1) for _ in rocks.split(", "))], np.uint8
)
"""Code of the family by code of the rock; no value stays no value."""

_AGES = (
    "Lower Cambrian, Middle Cambrian, Upper Cambrian, Lower Ordovician, Middle Ordovician, Upper Ordovician, "
    "Llandovery, Wenlock, Ludlow, Pridoli, Lower Devonian, Middle Devonian, Upper Devonian, Lower Mississippian, "
    "Middle Mississippian, Upper Mississippian, Lower Pennsylvanian, Middle Pennsylvanian, Upper Pennsylvanian, "
    "Cisuralian, Guadalupian, Lopingian, Lower Triassic, Middle Triassic, Upper Triassic, Lower Jurassic, "
    "Middle Jurassic, Upper Jurassic, Lower Cretaceous, Upper Cretaceous, Paleocene, Eocene, Oligocene, Miocene, "
    "Pliocene, Pleistocene, Holocene"
)
AGES = tuple(_AGES.split(", "))

COVERS = ("agricultural", "artificial", "forest and semi-natural", "water")
