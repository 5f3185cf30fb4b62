"""The language of a text, among the 119: a linear model on n-grams of characters that is part of the package.

    Identifier.packaged().guess("Situs puniki kasayagayang")     # Guess(language="ban_Latn", probability=0.99)

It was trained on text of Debian's packages by `train.py`; docs/data.md says how well it tells them apart.
"""
