"""Asks the user what to cook, in the middle of a call."""

import json
import sys

from wire import send, serve, text, tool

WISH = {"type": "object", "properties": {"dish": {"type": "string"}}, "required": ["dish"]}


def call(name, params, number):
    question = {"mode": "form", "message": "What would you like?", "requestedSchema": WISH}
    send({"id": "q1", "method": "elicitation/create", "params": question})
    answer = json.loads(sys.stdin.readline())
    return text(json.dumps(answer.get("result", answer.get("error"))))


serve(lambda: [tool("order")], call)
