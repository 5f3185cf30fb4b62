"""The server that works, beside all the others."""

from wire import serve, text, tool

serve(lambda: [tool("echo", "Says it again.", {"type": "object", "properties": {"words": {"type": "string"}}})],
      lambda name, params, number: text(params["arguments"].get("words", "")))  # fmt: skip
