"""From a checkpoint to a running model: which tensor gets which precision, and the cache of converted weights."""
