"""Agents: a model that thinks, calls tools, looks at what came back, and answers."""
