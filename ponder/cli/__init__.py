"""The `ponder` command. `main.py` holds the table of commands; each command is one module, imported when it is used."""
