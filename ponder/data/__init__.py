"""Text to learn from: where it comes from, and the tokenizer that is made of it."""
