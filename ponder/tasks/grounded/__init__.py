"""Answers from what is given: the passage named, false premises seen, what cannot be answered declined."""
