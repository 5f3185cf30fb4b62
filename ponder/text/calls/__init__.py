"""Calls of tools as models write them: JSON or XML, inside tags or without, whole or while they are written."""
