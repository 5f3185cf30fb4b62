"""The commands about model files: pull, list, show, plan, rm, convert, quantize."""
