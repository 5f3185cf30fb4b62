"""Problems with a verifier: what evaluation asks and what reinforcement learning rewards."""
