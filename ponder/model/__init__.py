"""The Qwen3 decoder: config, the one forward pass, weights in and out, names."""
