"""From a recipe to one analysis-ready stack."""

from headscarp.assemble.build import build
from headscarp.assemble.recipe import Recipe, read_recipe, recipe_from_dict

__all__ = ["Recipe", "build", "read_recipe", "recipe_from_dict"]
