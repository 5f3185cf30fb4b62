"""Rewards learned from pairs: a model that says which of two replies is better (`stage`), and its score (`score`)."""
