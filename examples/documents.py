"""Questions about documents: passages are searched and quoted with their place (RAG).

python examples/documents.py [MODEL] [FILE OR FOLDER ...]
"""

import sys
from pathlib import Path

from ponder.agent import Agent
from ponder.agent.tools.doc_search import DocSearch

files = sys.argv[2:] or [str(Path(__file__).parent)]
agent = Agent(
    sys.argv[1] if len(sys.argv) > 1 else "qwen3:0.6b",
    tools=[DocSearch(files=files, top=3)],
    system="Answer from the documents alone, and name the file you took it from.",
)
result = agent.run_sync("Which example shows how a thinking budget is set?")
for message in result.messages:
    if message.role == "tool":
        print(message.text[:200], "...")
print(result.text)
