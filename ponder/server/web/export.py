"""A conversation as a text for people: the branch that is shown, thoughts and tool calls in folds."""

from ponder.agent.loop.session_markdown import fenced
from ponder.core.turn import CallStep, NoteStep, Step, TextStep, ThoughtStep, steps_of
from ponder.server.web.turn_steps import Row


def as_markdown(conversation: Row) -> str:
    lines = []
    for row, steps in shown_branch(conversation):
        files = "".join(f"* 📄 {a['name']}\n" for a in row.get("attachments", []))
        parts = filter(None, [files.rstrip(), *map(_step, steps)])
        lines.append(f"## {row['role'].capitalize()}\n\n" + "\n\n".join(parts) + "\n")
    return f"# {conversation['title'] or 'Conversation'}\n\n" + "\n".join(lines)


def shown_branch(conversation: Row) -> list[tuple[Row, list[Step]]]:
    """The messages of the branch that is shown, from the first on, with their steps."""
    by_id = {m["id"]: m for m in conversation["messages"]}
    found, message = [], conversation["leaf"]
    while message in by_id:
        row = by_id[message]
        steps: list[Step] = steps_of(row) if "steps" in row else [TextStep(row.get("content", ""))]
        found.append((row, steps))
        message = row["parent"]
    return found[::-1]


def _step(step: Step) -> str:
    match step:
        case ThoughtStep():
            return _fold("Thoughts", step.text.strip())
        case CallStep():
            parts = [fenced(step.arguments, "json"), fenced(step.output)]
            parts += [fenced(step.diff, "diff")] if step.diff else []
            parts += [f"Picture: {image.name or image.media_type}" for image in step.images]
            return _fold(f"Tool call: {step.name} ({step.state})", "\n\n".join(parts))
        case TextStep() | NoteStep():
            return step.text.strip()


def _fold(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{inside}\n\n</details>"
