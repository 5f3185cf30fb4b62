"""Functions as tools: their types are the schema, their docstrings the words.

python examples/tools.py [MODEL]
"""

import sys

from ponder import LLM

STOCK = {"apples": 17, "pears": 4}


def in_stock(fruit: str) -> int:
    """How many pieces of a fruit are in stock.

    fruit: its name, in the plural
    """
    return STOCK.get(fruit.lower(), 0)


with LLM(*sys.argv[1:2]) as llm:
    question = "How many apples do we have?"
    reply = llm.chat(question, tools=[in_stock], max_tokens=600)
    for call in reply.tool_calls:  # reported, not run
        print(f"The model wants {call.name}({call.arguments})")

    reply = llm.chat(question, tools=[in_stock], run_tools=True, max_tokens=600)  # run, until it answers
    print(reply.text)
