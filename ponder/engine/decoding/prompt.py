"""From a chat request to the ids of its prompt, and the mode in which it is answered.

A request may ask for the oldest turns of a conversation that does not fit to be left out (LC-1). Nothing is cut without
being asked to, and never inside a turn: a turn is a user's message and everything up to the next one, so a tool's
result never loses its call. System messages stay, wherever they stand, and so does the last turn.

What cannot fit into the context is refused before it is turned into ids: that takes seconds and gigabytes, which
anybody could ask a server for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from msgspec import structs

from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.core.message import Message
from ponder.core.request import ChatRequest
from ponder.engine.decoding.answer_constraint import tool_name
from ponder.engine.decoding.settings import Mode, ModelProfile, choose_mode
from ponder.text.chat.render import render
from ponder.text.chat.spans import Rendered
from ponder.text.chat.template import Template, check_tools
from ponder.text.fill_in import SourceFile, fill_in_ids
from ponder.text.tokenizer.tokenizer import Tokenizer

COUNTED = 16  # contexts of what is too long that are counted, to say how much it is
ANSWER_ROOM = 4096  # tokens that truncation leaves for an answer of which nobody said how long it may be

LONGEST_TOKEN = 128  # bytes, of Qwen's vocabularies: as many blanks
NFC_JOINS = 4  # characters that become one at most, such as a Greek letter with three marks

Messages = tuple[Message, ...]
Prompt = str | Sequence[int]
Result = TypeVar("Result")


class PromptWriter:
    def __init__(self, tokenizer: Tokenizer, profile: ModelProfile, template: Template) -> None:
        """template: of the model's family."""
        self._tokenizer, self._profile, self._template = tokenizer, profile, template

    def write(self, request: ChatRequest) -> tuple[Mode, Rendered]:
        """The prompt that is run. Raises UserError when it cannot hold."""
        refuse_hopeless_request(request, self._profile)
        request, notes = final_message(request)
        mode = self._mode(request)
        if request.truncation == "auto":
            mode, rendered = self._truncated(request, mode)
        else:
            rendered = self._render(request, mode, self._profile.context)
        warnings = check_tools(self._profile.template_trust, self._template) if request.tools else ()
        return structs.replace(mode, warnings=(*notes, *mode.warnings, *rendered.warnings, *warnings)), rendered

    def whole(self, request: ChatRequest) -> Rendered:
        """The prompt with all its messages, also one that is some contexts too long."""
        for tool in request.tools:
            tool_name(tool)
        request, _ = final_message(request)
        mode = self._mode(request)
        return counted(lambda room: self._render(request, mode, room), self._profile)

    def _mode(self, request: ChatRequest) -> Mode:
        """An answer that has begun is continued without new thoughts."""
        mode = choose_mode(request.thinking, request.messages, self._profile)
        if not (request.continue_final_message and mode.thinking and request.messages[-1].text):
            return mode
        warnings = mode.warnings
        if request.thinking.enabled:
            warnings += ("enable_thinking: the last message is continued, and its thoughts are over",)
        return structs.replace(mode, thinking=False, source="request", warnings=warnings)

    def raw(self, prompt: Prompt, suffix: str | None, files: Sequence[SourceFile], *, allow_control: bool) -> list[int]:
        """The ids of a prompt without a template; see `LLM.generate_stream`."""
        if suffix is not None:
            if not isinstance(prompt, str):
                raise UserError("a prompt with a suffix is a text", param="prompt")
            refuse_hopeless([prompt, suffix, *(file.text for file in files)], self._profile)
            return fill_in_ids(self._tokenizer, prompt, suffix, files, context=self._profile.context)
        if isinstance(prompt, str):
            refuse_hopeless([prompt], self._profile)
            return self._tokenizer.encode(prompt, allow_control=allow_control, context=self._profile.context)
        if not isinstance(prompt, list | tuple) or not all(isinstance(i, int) for i in prompt):
            raise UserError("a prompt is a text or a list of token ids", param="prompt")
        return list(prompt)

    def _render(self, request: ChatRequest, mode: Mode, context: int) -> Rendered:
        return render(
            request.messages,
            self._tokenizer,
            tools=request.tools,
            enable_thinking=False if mode.prefill_empty else None,
            history=request.history,
            template=self._template,
            continue_final_message=request.continue_final_message,
            context=context,
        )

    def _truncated(self, request: ChatRequest, mode: Mode) -> tuple[Mode, Rendered]:
        """The prompt without the oldest turns, where it would leave no room for an answer; the mode warns of it.
        Raises ContextLengthExceeded when the last turn alone is far too long."""
        context = self._profile.context
        limit = context - min(request.sampling.max_tokens or ANSWER_ROOM, context // 2)

        def of(messages: tuple[Message, ...]) -> tuple[Mode, Rendered]:
            part = structs.replace(request, messages=messages)
            mode = self._mode(part)  # a switch that is left out switches nothing
            return mode, self._render(part, mode, context)

        def fits(messages: tuple[Message, ...]) -> bool:
            try:
                return len(of(messages)[1].ids) <= limit
            except ContextLengthExceeded:
                return False

        try:
            rendered, least = counted(lambda room: self._render(request, mode, room), self._profile), ""
            if (count := len(rendered.ids)) <= limit:
                return mode, rendered
        except ContextLengthExceeded as e:
            count, least = e.prompt_tokens, "at least "
        kept = truncated(request.messages, fits)
        mode, short = of(kept)
        dropped, ids = len(request.messages) - len(kept), count - len(short.ids)
        if not dropped:
            return mode, short
        warning = f"truncation: the {dropped} oldest messages were left out ({least}{ids} tokens)"
        return structs.replace(mode, warnings=(*mode.warnings, warning), truncated_tokens=ids), short


def truncated(messages: Sequence[Message], fits: Callable[[Messages], bool]) -> Messages:
    """Messages that do not fit, without as many of the oldest turns as must go; the last turn stays even if it does not
    fit either. fits: renders and counts, so short conversations are tried before long ones."""
    starts = [n for n, message in enumerate(messages) if message.role == "user"]
    if len(starts) < 2:
        return tuple(messages)

    def since(turn: int) -> Messages:
        begin = starts[turn]
        return (*(m for m in messages[:begin] if m.role == "system"), *messages[begin:])

    good, step = len(starts) - 1, 1
    while good - step > 0 and fits(since(good - step)):
        good, step = good - step, 2 * step
    bad = max(good - step, 0)  # all turns do not fit
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(since(middle)) else (good, middle)
    return since(good)


def final_message(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """What becomes of a last message of the assistant, and how it is told. An empty one is no beginning: it is left
    out. Raises UserError for one that cannot be continued."""
    last = request.messages[-1] if request.messages else None
    if last is None or last.role != "assistant":
        if request.continue_final_message:
            text = "continue_final_message: the last message is not the assistant's, so there is nothing to continue"
            raise UserError(text, param="continue_final_message")
        return request, ()
    if not request.continue_final_message:
        text = "the last message is the assistant's: a new turn was begun; continue_final_message: true goes on with it"
        return request, (text,)
    if last.tool_calls:
        text = "continue_final_message: the last message ends with a call, and what follows a call is its result"
        raise UserError(text, param="continue_final_message")
    if request.grammar is not None:
        text = "a response format holds for a whole answer, and this one is continued: leave one of them out"
        raise UserError(text, param="continue_final_message")
    if not last.text and not last.reasoning:
        return structs.replace(request, messages=request.messages[:-1], continue_final_message=False), ()
    return request, ("the last message is the assistant's: the reply goes on with it",)


def counted(encode: Callable[[int], Result], profile: ModelProfile) -> Result:
    """What is only counted or looked at may be too long. encode: is given the ids there is room for. Raises
    ContextLengthExceeded for what nobody counts to its end."""
    try:
        return encode(COUNTED * profile.context)
    except ContextLengthExceeded as e:
        raise ContextLengthExceeded(e.prompt_tokens, profile.context, at_least=True) from e


def refuse_hopeless(texts: Iterable[str], profile: ModelProfile) -> None:
    """Raises ContextLengthExceeded for texts that no tokenisation could make short enough."""
    least = 0
    for text in texts:
        least += len(text) // (1 if text.isascii() else NFC_JOINS)
    if least // LONGEST_TOKEN > profile.context:
        raise ContextLengthExceeded(least // LONGEST_TOKEN, profile.context, at_least=True)


def refuse_hopeless_request(request: ChatRequest, profile: ModelProfile) -> None:
    refuse_hopeless(_certain(request), profile)


def _certain(request: ChatRequest) -> Iterator[str]:
    """Texts that the prompt will hold, whatever a template leaves out of an assistant's turns. Truncation leaves out
    all turns but the last one."""
    messages, last = request.messages, 0
    if request.truncation == "auto":
        last = max((n for n, message in enumerate(messages) if message.role == "user"), default=0)
    for n, message in enumerate(messages):
        if message.role == "system" or (n >= last and message.role in ("user", "tool")):
            yield message.text
    for tool in request.tools:
        yield from _strings(tool)


def _strings(value: Any) -> Iterator[str]:
    """All texts of a JSON value, however deep."""
    todo = [value]
    while todo:
        match todo.pop():
            case str(text):
                yield text
            case dict(found):
                todo += [*found, *found.values()]
            case list(found):
                todo += found
