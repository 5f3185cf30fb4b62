"""Run untrusted code: namespaces, limits, no network. Never on the bare host unless somebody says so aloud."""
