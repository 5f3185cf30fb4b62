"""Random conversations in the dict form that the official template reads, odd ones included. Seeded, no model."""

import json
import random
from typing import Any

WORDS = [
    *(
        "hi",
        "Straße",
        "你好",
        "مرحبا",
        "🤖",
        "a\u0301",
        "x = 1",
        " ",
        "\n",
        "\n\n",
        "\t",
        "  ",
        '"',
        "\\",
        "'",
        "don't",
    ),
    *(
        "3.14",
        "{}",
        "<b>",
        "&amp;",
        "/think",
        "/no_think",
        "\r\n",
        "<tool>",
        "</",
        "|im_end|",
        "…",
        "1\n2",
        "নমস্কার",
        ".",
    ),
]
TAGS = ["<|im_end|>", "<|im_start|>user\n", "</tool_response>", "<think>", "</think>", "<tool_call>", "<|endoftext|>"]


class Generator:
    """nasty: texts also hold control names. current: contents may be missing, null, lists or dicts (the launch-day
    template cannot take those)."""

    def __init__(self, seed: int, *, nasty: bool, current: bool) -> None:
        self.r = random.Random(seed)
        self.nasty, self.current = nasty, current

    def text(self, most: int = 8) -> str:
        words = WORDS + TAGS if self.nasty else WORDS
        return self.r.choice(["", " "]).join(self.r.choices(words, k=self.r.randint(0, most)))

    def value(self, depth: int = 0) -> Any:
        kinds = ["text", "int", "float", "bool", "none"] + (["list", "dict"] * 2 if depth < 3 else [])
        kind = self.r.choice(kinds)
        if kind == "list":
            return [self.value(depth + 1) for _ in range(self.r.randint(0, 3))]
        if kind == "dict":
            return {self.text(2): self.value(depth + 1) for _ in range(self.r.randint(0, 3))}
        simple = {"text": self.text(4), "int": self.r.randint(-9, 10**20), "float": self.r.random(), "bool": True}
        return simple.get(kind)

    def tool(self) -> dict[str, Any]:
        function = {"name": self.r.choice(["f", "get_weather", "查询", "a.b-c"]), "description": self.text()}
        parameters = {"type": "object", "properties": {self.text(1): self.value()}}
        if self.r.random() < 0.2:
            return {**function, "parameters": parameters}
        return {"type": "function", "function": {**function, "parameters": parameters}}

    def call(self) -> dict[str, Any]:
        arguments: Any = {self.text(1): self.value() for _ in range(self.r.randint(0, 3))}
        form = self.r.random()
        if form < 0.3:
            arguments = json.dumps(arguments, ensure_ascii=self.r.random() < 0.5, indent=self.r.choice([None, 1]))
        elif form < 0.4:
            arguments = self.r.choice(["", "not json", '{"cut": ', "null", "[]", self.text()])
        elif form < 0.45:
            arguments = self.r.choice([None, 3, [1, 2], True])
        body = {"name": self.r.choice(["f", "g", "查询", "x.y"]), "arguments": arguments}
        return {"type": "function", "id": "c1", "function": body} if self.r.random() < 0.7 else body

    def content(self, message: dict[str, Any], text: str) -> None:
        """Put a content in: a string, or what clients send instead."""
        form = self.r.random() if self.current else 1.0
        if form < 0.06:
            message["content"] = None
        elif form < 0.1:
            message["content"] = [{"type": "text", "text": text}]
        elif form < 0.12:
            message["content"] = {"result": text}
        elif form > 0.14:
            message["content"] = text

    def assistant(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        text, thoughts, form = self.text(), self.text(), self.r.random()
        if form < 0.25:
            text = f"<think>\n{thoughts}\n</think>\n\n{text}"
        elif form < 0.35:
            text = f"{thoughts}\n</think>{text}"
        elif form < 0.4:
            text = f"<think></think>{text}"
        self.content(message, text)
        if self.r.random() < 0.35:
            message["reasoning_content"] = self.r.choice([thoughts, "", "\n" + thoughts + "\n\n"])
        elif self.current and self.r.random() < 0.1:
            message["reasoning_content"] = None
        if self.r.random() < 0.4:
            message["tool_calls"] = [self.call() for _ in range(self.r.choice([1, 1, 2, 3]))]
        elif self.r.random() < 0.1:
            message["tool_calls"] = self.r.choice([[], None])
        return message

    def other(self, role: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": role}
        text = self.text()
        if role == "user" and self.r.random() < 0.15:
            text = f"<tool_response>{text}</tool_response>"
        self.content(message, text)
        return message

    def chat(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """(messages, options of apply_chat_template)."""
        roles: list[str] = []
        if self.r.random() < 0.3:
            roles.append("system")
        if self.r.random() < 0.5:  # the usual shape: question, tool steps, answer
            for _ in range(self.r.randint(1, 3)):
                roles.append("user")
                for _ in range(self.r.choice([0, 0, 1, 2])):
                    roles += ["assistant", *["tool"] * self.r.randint(1, 3)]
                roles.append("assistant")
            roles = roles[: self.r.randint(1, len(roles))]
        else:
            names = ["system", "user", "assistant", "tool", "function", "developer", ""]
            roles += self.r.choices(names, weights=[2, 5, 5, 4, 0.5, 0.5, 0.2], k=self.r.randint(1, 9))
        messages = [self.assistant() if role == "assistant" else self.other(role) for role in roles]
        if messages[0]["role"] == "system":
            messages[0]["content"] = self.text()  # the official template fails on any other header
        options: dict[str, Any] = {"add_generation_prompt": self.r.random() < 0.6}
        if self.r.random() < 0.5:
            options["enable_thinking"] = self.r.choice([True, False, None])
        if self.r.random() < 0.4:
            options["tools"] = [self.tool() for _ in range(self.r.randint(1, 3))]
        return messages, options
