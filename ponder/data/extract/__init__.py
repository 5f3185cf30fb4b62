"""What models do for extraction: read pages that are pictures, and correct a text, without adding to it."""
