"""Reasoning with written steps: sums in words, search, sorting, dates, units, science, logic, programs."""
