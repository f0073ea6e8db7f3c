"""How much context each derivation needs, so that block by block gives the same bits as the whole raster at once.

It computes no terrain: the one who cuts the blocks asks here, passes dem[block + halo], and crops the result.
"""

from headscarp.core.errors import GridError, RecipeError

_NEIGHBOURS = ("slope", "aspect", "plan_curvature", "profile_curvature", "total_curvature")
_WITHIN_RADIUS = ("relief", "topographic_position", "uphill")
_WHOLE_RASTER = ("flow_accumulation", "wetness_index", "distance_to")


def halo_px(name: str, *, radius_px: int = 0) -> int:
    """Cells of context that a block needs on each side for the derivation `name`.

    radius_px: the radius, for relief, topographic_position and uphill. Where the raster itself ends there is less
    context, and that is right: pass what there is.
    Raises GridError for derivations that need the whole raster, RecipeError for an unknown name or no radius.
    """
    if name in _NEIGHBOURS:
        return 1
    if name in _WITHIN_RADIUS:
        if radius_px < 1:
            raise RecipeError(f"{name} was given radius {radius_px} px; a radius of 1 px or more is needed.")
        return int(radius_px)
    if name in _WHOLE_RASTER:
        raise GridError(f"{name} cannot be cut into blocks: pass it the whole raster.")
    known = ", ".join((*_NEIGHBOURS, *_WITHIN_RADIUS, *_WHOLE_RASTER))
    raise RecipeError(f"derivation {name!r} is unknown; choose one of {known}.")
