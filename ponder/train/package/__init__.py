"""From a run to a folder that can be given away: weights, card, hashes. `ponder train package CARD`."""
