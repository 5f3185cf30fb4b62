"""A result of ten megabytes."""

from wire import serve, text, tool

serve(lambda: [tool("big")], lambda name, params, number: text("HEAD" + "x" * 10_000_000 + "TAIL"))
