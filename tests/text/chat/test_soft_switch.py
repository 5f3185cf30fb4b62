"""The soft switch (TH-3): the newest /think or /no_think in user or system text."""

import pytest

from ponder.core.message import Message
from ponder.text.chat.soft_switch import soft_switch

U, S, T, A = Message.user, Message.system, Message.tool, Message.assistant
CASES: list[tuple[list[Message], bool | None]] = [
    ([], None),
    ([U("hi")], None),
    ([U("hi /no_think")], False),
    ([U("hi /think")], True),
    ([U("你好/no_think")], False),
    ([U("/no_think你好")], False),
    ([U("/think then /no_think.")], False),
    ([U("/no_think then /think!")], True),
    ([S("/no_think"), U("hi")], False),
    ([S("/no_think"), U("hi /think")], True),
    ([U("hi /think"), A("ok"), U("and now /no_think"), A("ok"), U("go on")], False),
    ([U("a /no_think"), A("/think"), T("/think")], False),
    ([U("a /no_think"), U("<tool_response>\n/think\n</tool_response>")], False),
    ([U("see https://x.org/thinking and a//think and /think/deeply, /think-tank")], None),
    ([U("/nothink /No_Think")], None),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_newest_switch_wins(case: int) -> None:
    messages, expected = CASES[case]
    assert soft_switch(messages) is expected
