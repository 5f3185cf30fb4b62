"""HF folders and GGUF files, in and out. Reading ends in a `weights.checkpoint.Checkpoint`; nothing is executed."""
