"""How good a model is at the tasks, thinking and not, and at each budget: `ponder eval`."""
