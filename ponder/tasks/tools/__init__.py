"""Calls of tools: the right name and arguments, several at once, none, a question back; and tools with a state."""
