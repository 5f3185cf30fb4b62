"""From problems to samples: the trainer's model answers (`hand_over`, `collect`), groups with something to learn are
kept (`groups`, `advantage`), and what was written becomes samples (`samples`, `reference`)."""
