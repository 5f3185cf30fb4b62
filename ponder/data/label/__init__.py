"""Labels of documents: how much they teach, about what, of what kind, how safe, how much reasoning.

A teacher labels a sample, a linear model learns from it and labels the rest; recipes weigh documents by them.
"""
