"""Base models: no chat, a few solved questions before each question, log-likelihoods or a continuation."""
