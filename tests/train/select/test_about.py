"""What the small model learns to say about itself: recipes/mini/about.jsonl, and the same with thoughts."""

from pathlib import Path

from ponder.train.select import conversations

MINI = Path(__file__).parents[3] / "recipes" / "mini"


def test_the_two_files_say_the_same() -> None:
    plain, thinking = (conversations.read(MINI / name) for name in ("about.jsonl", "about-thoughts.jsonl"))
    assert len(plain) >= 100
    assert [[m.text for m in c.messages] for c in plain] == [[m.text for m in c.messages] for c in thinking]
    assert not any(m.reasoning for c in plain for m in c.messages)
    assert all(c.messages[-1].reasoning for c in thinking)
    questions = [c.messages[0].text for c in plain if len(c.messages) == 2]
    assert len(set(questions)) == len(questions)
