"""The stages of a recipe, one module each; `training` is what those with an optimiser share."""
