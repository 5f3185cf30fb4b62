"""The Qwen3 decoder: config, the one forward pass, weights in and out, names.

`hub` turns a name into files, `formats` reads them as a checkpoint, `weights` makes a `Model` of it, and `decoder`
is the pass that it runs over any op set. `info` and `capacity` tell of a model before it is loaded.
"""
