"""Run untrusted code: namespaces, limits, no network. Never on the bare host unless somebody says so aloud.

`isolation.find` says what this machine offers; `run.run` runs one command there, `kernel.Kernel` keeps a Python kernel.
Both start a `process.Sandboxed`, which is watched while it lives and ends as a whole, under the `supervisor`. What lies
in `guest` runs inside. `workspace`, `tree` and `snapshot` handle the files that the code may be changing meanwhile.
"""
