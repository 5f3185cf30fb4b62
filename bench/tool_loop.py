"""A tool loop of ten steps: what each step computes with exact prefix reuse, and without.

    python bench/tool_loop.py --model MODEL [--steps 10] [--json bench/results/tool-loop.json]

The conversation is made once: the model's own greedy replies (real ids), a call after each, a result of some 200 ids.
Then every prompt of the loop is sent twice for one id: in order, as the agent does, and with a first word that nothing
in the cache begins with, as a client does that sends other bytes each time. Time is that to the first id.
"""

import argparse
import json
import time
from pathlib import Path

from ponder import LLM
from ponder.core.message import Message, ToolCall

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}
RESULT = "Entry {n}: " + "the quick brown fox jumps over the lazy dog, " * 18


def conversation(llm: LLM, steps: int) -> list[tuple[Message, ...]]:
    """The messages before each step. Replies carry exact ids: what the model said, and a call written behind it."""
    tok = llm.tokenizer
    messages: list[Message] = [Message.system("You look words up."), Message.user("Look up the words 1 to 10.")]
    prompts = []
    for n in range(steps):
        prompts.append(tuple(messages))
        call = f'<tool_call>\n{{"name": "lookup", "arguments": {{"n": {n}}}}}\n</tool_call><|im_end|>'
        said = llm.chat(messages, tools=[TOOL], history="exact", temperature=0.0, max_tokens=40, tool_choice="none")
        text = [i for i in said.message.ids or () if i not in tok.eos_ids]
        ids = (*text, *tok.encode("\n" + call, allow_control=True))
        calls = (ToolCall("lookup", f'{{"n": {n}}}', f"call_{n}"),)
        messages.append(Message.assistant(said.text, reasoning=said.reasoning, tool_calls=calls, ids=ids))
        messages.append(Message.tool(RESULT.format(n=n), call_id=f"call_{n}", name="lookup"))
    return prompts


def measure(llm: LLM, prompts: list[tuple[Message, ...]], salt: bool) -> dict[str, float]:
    seconds = computed = total = 0.0
    for n, messages in enumerate(prompts):
        if salt:
            messages = (Message.system(f"{time.time_ns()} {n} {messages[0].text}"), *messages[1:])
        handle = llm.chat_stream(messages, tools=[TOOL], history="exact", temperature=0.0, max_tokens=1)
        finish = list(handle)[-1]
        seconds += handle.timings().first_id_s
        computed += finish.usage.prompt_tokens - finish.usage.cached_tokens
        total += finish.usage.prompt_tokens
    return {"seconds": round(seconds, 3), "computed": int(computed), "prompt_ids": int(total)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with LLM(args.model, dtype=args.dtype) as llm:
        prompts = conversation(llm, args.steps)
    with LLM(args.model, dtype=args.dtype) as llm:
        llm.generate("warm up", max_tokens=2)
        reused, fresh = measure(llm, prompts, salt=False), measure(llm, prompts, salt=True)
    row = {"model": Path(args.model).stem, "steps": args.steps, "reused": reused, "without": fresh,
           "times_faster": round(fresh["seconds"] / reused["seconds"], 2)}  # fmt: skip
    print(json.dumps(row, indent=1))
    if args.json:
        args.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
