"""One trainer for every stage: samples with streams (`core.sample`), one loss, one optimiser step.

Life of a step: a list of `Sample`s whose weights `weights.normalise` made comparable -> `batch.micro_batches` and
`batch.pack` -> `step.Trainer.step` (hidden states, log-probs, `loss.total`, backward, clip, update) -> `metrics`.
"""
