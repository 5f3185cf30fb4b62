"""`ponder learn`: what was said in chosen sessions becomes samples (`sessions`), and an adapter (`adapter`)."""
