"""One question with more and less time to think: the budget is exact, in tokens.

python examples/budget.py [MODEL]
"""

import sys

from ponder import LLM

QUESTION = "A farmer has 17 sheep. All but 9 run away. How many are left?"

with LLM(*sys.argv[1:2]) as llm:
    for thinking in (False, 32, 256, True):
        reply = llm.chat(QUESTION, thinking=thinking, max_tokens=1000)
        usage = reply.finish.usage
        own = usage.reasoning_tokens - usage.handover_tokens  # the hand-over is fed, not thought
        print(f"thinking={thinking!s:5}  {own:4} tokens of thoughts  {reply.text!r}")
        if isinstance(thinking, int) and not isinstance(thinking, bool):
            assert own <= thinking
