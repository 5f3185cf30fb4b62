"""Many questions at once: they share the engine's batch, so that ten take little longer than one.

python examples/batch.py [MODEL] < questions.txt
"""

import asyncio
import json
import sys

from ponder import LLM


async def answer(llm: LLM, number: int, question: str) -> dict[str, object]:
    reply = await llm.achat(question, thinking=False, max_tokens=200, seed=number)
    return {"number": number, "question": question, "answer": reply.text, "tokens": len(reply.ids)}


async def main() -> None:
    questions = [line.strip() for line in sys.stdin if line.strip()]
    with LLM(*sys.argv[1:2]) as llm:
        tasks = [answer(llm, number, question) for number, question in enumerate(questions)]
        for done in asyncio.as_completed(tasks):  # each as soon as it is there
            print(json.dumps(await done, ensure_ascii=False))


asyncio.run(main())
