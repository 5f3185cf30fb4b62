"""One module a command: `DESCRIPTION`, `NOTES`, `add_arguments(parser)` and `run(args) -> exit code`."""
