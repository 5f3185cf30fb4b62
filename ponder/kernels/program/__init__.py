"""A forward pass without Python: recorded as calls (`record`), fused to instructions (`fuse`), run natively (`run`)."""
