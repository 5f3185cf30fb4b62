"""Text <-> ids, exactly as the released tokenizers do it: `Tokenizer` on a `Vocabulary`, with BPE from a table for
short texts and UTF-8 that streams."""
