"""Shows its environment."""

import os

from wire import serve, tool

serve(lambda: [tool("show")], lambda name, params, number: {"content": [], "structuredContent": dict(os.environ)})
