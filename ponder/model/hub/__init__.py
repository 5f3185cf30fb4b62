"""Names of models, and the files that they lead to: `fetch.locate` resolves and fetches, `registry` knows the names."""
