"""Doing what was asked: checkable instructions, given forms and lengths, the mode, the language, the conversation."""
