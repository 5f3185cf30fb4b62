"""Recipes: TOML in, a graph of stages, a folder for each. `ponder train RECIPE`."""
