"""What `ponder bench` measures, the models with random weights, and what bounds them."""
