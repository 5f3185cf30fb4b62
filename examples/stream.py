"""An answer while it is written, and the events behind it.

python examples/stream.py [MODEL]
"""

import sys

from ponder import LLM
from ponder.core.event import Finish, ReasoningDelta, TextDelta

with LLM(*sys.argv[1:2]) as llm:
    stream = llm.stream("Count from one to five in words.", max_tokens=400)
    for piece in stream:
        print(piece, end="", flush=True)
    print(f"\n[{stream.result().finish.reason}]")

    for event in llm.chat_stream("Why is the sky blue? One sentence.", max_tokens=400):  # for who wants the thoughts
        match event:
            case ReasoningDelta(text):
                print(f"\033[2m{text}\033[0m", end="")
            case TextDelta(text):
                print(text, end="")
            case Finish(reason=reason, usage=usage):
                print(f"\n[{reason}, {usage.reasoning_tokens} tokens of thoughts]")
