"""The settings that hold for the next message of a chat, and where each comes from (TH-5)."""

from msgspec import structs

from ponder.cli.options import SAMPLING
from ponder.cli.terminal.session import ChatSession
from ponder.engine.decoding.settings import choose_mode, resolve

Row = tuple[str, str, str]


def in_force(session: ChatSession) -> list[Row]:
    """(setting, value, source) as the next message will see them, unless it holds a soft switch itself."""
    profile = session.profile
    mode = choose_mode(session.thinking, session.context(), profile)
    told = profile if profile.context else structs.replace(profile, context=1 << 20)  # a server that does not tell
    settings = resolve(session.sampling, session.thinking, mode, told, prompt_tokens=0)
    state = "on" if mode.thinking else "off"
    budget = settings.effective.budget
    rows: list[Row] = [
        ("model", profile.name, profile.capability),
        ("thinking", state, session.sources.get("enabled", mode.source)),
        ("budget", "none" if budget is None else f"{budget} tokens", session.sources.get("budget", "default")),
    ]
    for name in SAMPLING:
        value, source = f"{getattr(settings.sampling, name):g}", f"default with thinking {state}"
        if name == "seed":
            value, source = "a new one each time", "default"
        elif name == "max_tokens":
            value, source = "all that fits", "default"
        if name in session.sources:
            value, source = f"{getattr(session.sampling, name):g}", session.sources[name]
        rows.append((name, value, source))
    rows.append(("context", f"{profile.context} tokens" if profile.context else "as the server has it", "model"))
    if session.grammar:
        rows.append(("shape of the answer", session.grammar.kind, "flag"))
    return [*rows, *(("warning", w, "") for w in settings.warnings)]
