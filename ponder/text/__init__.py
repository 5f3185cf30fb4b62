"""Text and ids of the Qwen models: what a model reads is made here, and what it writes is read here.

tokenizer/ turns text into ids and back; chat/ renders messages to ids, follows the model through its turn (`phase`) and
parses what comes back. `tokenizer_files` writes tokenizers for other programs, `jsonl` serves the command line.
Serving, training and evaluation use the same functions: import them from their modules.
"""
