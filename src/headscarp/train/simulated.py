"""The simulated places behind a stack of scenarios, drawn again by the recipe that the stack keeps.

So what nobody can know of a real place (other storms, the risk with more trees) can be asked of a simulated one.
Refuses stacks that were not simulated with slides that run.
"""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from headscarp.assemble.domain_recipe import DomainsRecipe, domains_recipe_from_dict
from headscarp.core.errors import StackError
from headscarp.sources.world.domains import Look, draw_scene
from headscarp.sources.world.domains.futures import scene_place
from headscarp.sources.world.domains.ground import Place


class SimulatedPlaces:
    """The places of a stack of scenarios by name. Raises StackError where their slides do not run."""

    def __init__(self, stack: xr.Dataset) -> None:
        made: Mapping[str, Any] = stack.attrs.get("made", {})
        recipe = domains_recipe_from_dict(made["settings"]) if "scenarios" in made.get("settings", {}) else None
        if recipe is None or recipe.scenarios is None or not recipe.scenarios.slides:
            raise StackError(
                "only simulated scenarios whose slides run know the truth; build them: headscarp domains build "
                "recipes/slides.toml"
            )
        self.recipe: DomainsRecipe = recipe
        self.look: Look = recipe.look
        self._drawn: dict[str, Place] = {}

    def place(self, name: str) -> Place:
        """The ground of a place, by its name in the stack, such as "india-00004"."""
        if name not in self._drawn:
            region, number = name.rsplit("-", 1)
            self._drawn[name] = scene_place(draw_scene(region, int(number), self.look), self.look)
        return self._drawn[name]
