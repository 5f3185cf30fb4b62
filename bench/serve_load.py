"""Load on any OpenAI-compatible server: N streams at once, each asking for the same number of tokens.

    python bench/serve_load.py http://127.0.0.1:11435/v1 --model NAME --streams 16 --tokens 128

One JSON line: tokens a second of all streams together (from the first request's start to the last one's end), time to
the first byte of the stream, to the first token, between pieces of text, and per token. The client reads sockets itself
and decodes almost nothing while it measures, because it runs on the same processors as the server. Every run has
prompts of its own, so that no prefix cache helps; nobody stops early (`--kind` knows how each server is told).
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

WORDS = [
    "river",
    "stone",
    "cloud",
    "paper",
    "window",
    "garden",
    "silver",
    "table",
    "morning",
    "letter",
    "winter",
    "market",
    "summer",
    "bridge",
    "island",
    "music",
]
CONTROL = "151643-151668"  # ids that nobody may say: end of turn, tags


class Stream(NamedTuple):
    """Moments in seconds since it was sent: first byte of the body, first token, arrival of each piece of text."""

    first_byte: float
    pieces: list[float]
    tokens: int


def banned(words: str) -> dict[int, float]:
    """ "3-5" -> a logit_bias against 3, 4 and 5."""
    first, _, last = words.partition("-")
    return dict.fromkeys(range(int(first), int(last or first) + 1), -100.0)


def body_of(kind: str, model: str, prompt: str, tokens: int, seed: int, ban: str) -> dict[str, Any]:
    """A request that thinks not, samples, and ends after exactly so many tokens."""
    bias = {"logit_bias": {str(i): v for i, v in banned(ban).items()}}
    body: dict[str, Any] = {
        "model": model, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": tokens,
        "temperature": 1.0, "top_p": 1.0, "seed": seed, "messages": [{"role": "user", "content": prompt}],
    }  # fmt: skip
    if kind == "ponder":
        return body | bias | {"enable_thinking": False, "top_k": 0}
    if kind == "vllm":
        return body | bias | {"chat_template_kwargs": {"enable_thinking": False}}
    return body | bias | {"top_k": 0, "chat_template_kwargs": {"enable_thinking": False}, "cache_prompt": False}


async def stream(host: str, port: int, path: str, body: dict[str, Any]) -> Stream:
    raw = json.dumps(body).encode()
    head = f"POST {path}/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection(host, port)
    start = time.perf_counter()
    writer.write(f"{head}Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n".encode() + raw)
    arrived: list[tuple[float, bytes]] = []
    while data := await reader.read(1 << 16):
        arrived.append((time.perf_counter() - start, data))
    writer.close()
    return _read(arrived)


def _read(arrived: list[tuple[float, bytes]]) -> Stream:
    """What came when, worked out afterwards."""
    whole = b"".join(data for _, data in arrived)
    if b" 200 " not in whole[:20]:
        raise SystemExit(whole[:1000].decode("utf-8", "replace"))
    first_byte, pieces = 0.0, []
    for when, data in arrived:
        if not first_byte and b"data: " in data:
            first_byte = when
        if b'"content":"' in data.replace(b'": "', b'":"').replace(b'"content":""', b""):
            pieces.append(when)
    at = whole.rfind(b'"completion_tokens"')
    if at < 0 or not pieces:
        raise SystemExit("a stream broke off: " + whole[-1000:].decode("utf-8", "replace"))
    usage = int(whole[at + 19 :].lstrip(b": ").split(b",")[0].split(b"}")[0])
    return Stream(first_byte, pieces, usage)


async def load(
    url: str, kind: str, model: str, streams: int, tokens: int, words: int, seed: int, ban: str
) -> tuple[float, list[Stream]]:
    """Seconds in all, and every stream."""
    where = urlsplit(url)
    rng = random.Random(seed)
    prompts = [" ".join(rng.choices(WORDS, k=words)) for _ in range(streams)]
    bodies = [body_of(kind, model, p, tokens, seed * 1000 + n, ban) for n, p in enumerate(prompts)]
    start = time.perf_counter()
    found = await asyncio.gather(*(stream(where.hostname or "", where.port or 80, where.path, b) for b in bodies))
    return time.perf_counter() - start, found


def summary(seconds: float, found: list[Stream]) -> dict[str, float]:
    gaps = [b - a for s in found for a, b in zip(s.pieces, s.pieces[1:])]
    first = [s.pieces[0] for s in found]
    per_token = [(s.pieces[-1] - s.pieces[0]) / max(1, s.tokens - 1) for s in found]
    return {
        "tokens_per_second": sum(s.tokens for s in found) / seconds,
        "first_byte_ms_p50": _ms(statistics.median(s.first_byte for s in found)),
        "first_byte_ms_max": _ms(max(s.first_byte for s in found)),
        "first_token_ms_p50": _ms(statistics.median(first)),
        "first_token_ms_p99": _ms(quantile(first, 0.99)),
        "between_ms_p50": _ms(statistics.median(gaps)),
        "between_ms_p99": _ms(quantile(gaps, 0.99)),
        "per_token_ms": _ms(statistics.mean(per_token)),
        "pieces": sum(len(s.pieces) for s in found) / len(found),
    }


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def measure(
    url: str, *, kind: str, model: str, streams: int, tokens: int, words: int, rounds: int, ban: str
) -> dict[str, float]:
    """Medians over the rounds, behind a short one that warms up."""
    asyncio.run(load(url, kind, model, streams, 8, words, 0, ban))
    rows = [
        summary(*asyncio.run(load(url, kind, model, streams, tokens, words, seed, ban)))
        for seed in range(1, rounds + 1)
    ]
    return {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}


def add_shape_flags(parser: argparse.ArgumentParser) -> None:
    """What the load is like."""
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ban", default=CONTROL, metavar="FIRST-LAST", help="ids that are never sampled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model", default="")
    parser.add_argument("--kind", default="ponder", choices=("ponder", "vllm", "llama"))
    add_shape_flags(parser)
    args = parser.parse_args()
    found = measure(**vars(args))
    every = args.streams * (8 + args.rounds * args.tokens)  # with those that warm up
    print(json.dumps(vars(args) | found | {"all_tokens": every}), flush=True)


if __name__ == "__main__":
    main()
