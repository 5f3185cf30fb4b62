"""A conversation as a text for people: the branch that is shown, thoughts and tool calls in folds."""

from ponder.server.web.turn_steps import Row


def as_markdown(conversation: Row) -> str:
    by_id = {m["id"]: m for m in conversation["messages"]}
    lines, message = [], conversation["leaf"]
    while message in by_id:
        row = by_id[message]
        steps = row.get("steps", [{"kind": "text", "text": row.get("content", "")}])
        files = "".join(f"* 📄 {a['name']}\n" for a in row.get("attachments", []))
        parts = filter(None, [files.rstrip(), *map(_step, steps)])
        lines.append(f"## {row['role'].capitalize()}\n\n" + "\n\n".join(parts) + "\n")
        message = row["parent"]
    return f"# {conversation['title'] or 'Conversation'}\n\n" + "\n".join(lines[::-1])


def _step(step: Row) -> str:
    match step["kind"]:
        case "thought":
            return _fold("Thoughts", str(step["text"]).strip())
        case "call":
            told = [_fenced(step["arguments"], "json"), _fenced(step["output"])]
            told += [_fenced(step["diff"], "diff")] if step["diff"] else []
            told += [f"Picture: {image['name'] or image['media_type']}" for image in step["images"]]
            return _fold(f"Tool call: {step['name']} ({step['state']})", "\n\n".join(told))
    return str(step["text"]).strip()


def _fold(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{inside}\n\n</details>"


def _fenced(text: str, language: str = "") -> str:
    """In a fence that is longer than any inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
