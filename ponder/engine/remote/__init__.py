"""Models that other servers run: any OpenAI-compatible URL, or several. See docs/fleet.md.

from ponder.engine.remote import RemoteModel

with RemoteModel("http://127.0.0.1:8000/v1") as model:
    for event in model.stream(request): ...
"""

from ponder.engine.remote.model import RemoteModel

__all__ = ["RemoteModel"]
