"""The blocks of a GGUF file as integers and scales, type by type; `ggml_blocks.py` beside this folder is its front."""
