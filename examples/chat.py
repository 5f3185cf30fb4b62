"""A question, an answer, and a second question that knows of the first.

python examples/chat.py [MODEL]
"""

import sys

from ponder import LLM, Message

with LLM(*sys.argv[1:2]) as llm:
    reply = llm.chat("Name the largest planet. One word.", max_tokens=400)
    print(reply.text)

    history = [Message.user("Name the largest planet. One word."), reply.message]
    again = llm.chat([*history, Message.user("And the smallest?")], max_tokens=400)
    print(again.text)
    print(f"{again.finish.usage.completion_tokens} tokens, {again.finish.usage.cached_tokens} read from the cache")
