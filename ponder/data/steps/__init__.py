"""Steps over documents: each a plain function of one text, or of texts in their order."""
