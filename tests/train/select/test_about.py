"""What the small model learns to say about itself, in both modes: recipes/mini/about.jsonl."""

from pathlib import Path

from ponder.train.select import conversations

ABOUT = Path(__file__).parents[3] / "recipes" / "mini" / "about.jsonl"


def test_it_says_the_same_in_both_modes() -> None:
    plain, thinking = set(), set()
    for conversation in conversations.read(ABOUT):
        texts = tuple(message.text for message in conversation.messages)
        thought = conversation.messages[-1].reasoning
        if texts[0].endswith(" /think"):
            assert thought
        elif texts[0].endswith(" /no_think"):
            assert thought == "", "an empty block of its own"
        else:
            (thinking if thought else plain).add(texts)
    assert len(plain) >= 100 and plain == thinking
