"""POST /tokenize and /detokenize, as llama.cpp (`content`) and vLLM (`prompt`, `messages`) have them, and llama.cpp's
/apply-template.

Control tokens in a text are text, unless `allow_special_tokens` says otherwise (SEC-1). These vocabularies add
nothing of their own to a text, so `add_special` changes nothing.
"""

from typing import Any

from msgspec import Struct, field

from ponder.core.errors import UserError
from ponder.core.request import ChatRequest
from ponder.engine.decoding.prompt import refuse_hopeless_request
from ponder.engine.llm import LLM
from ponder.server.api.openai.chat_request import continued, messages_of
from ponder.server.api.thinking_params import ThinkingBody, thinking_of
from ponder.server.http.reply import JsonReply
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.service import Service
from ponder.text.chat.spans import Rendered

MAX_PIECES = 1 << 17


class TemplateBody(ThinkingBody, frozen=True, kw_only=True):
    """What a chat's prompt depends on."""

    model: str = ""
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    continue_final_message: bool = False
    add_generation_prompt: bool | None = None


class TokenizeBody(TemplateBody, frozen=True, kw_only=True):
    """One of content, prompt and messages."""

    content: str | None = None
    prompt: str | None = None
    allow_special_tokens: bool = False
    add_special: bool | None = None
    with_pieces: bool = False


class DetokenizeBody(Struct, frozen=True, kw_only=True):
    tokens: list[int]
    model: str = ""


class TokenizeReply(JsonReply):
    """tokens: ids, or ids with their pieces."""

    tokens: list[int | dict[str, Any]]
    count: int
    max_model_len: int
    warnings: list[str] = field(default_factory=list)


class TemplateReply(JsonReply):
    prompt: str


class DetokenizeReply(JsonReply):
    content: str
    prompt: str


@endpoint(TokenizeBody)
async def tokenize(incoming: Incoming[TokenizeBody]) -> TokenizeReply:
    service, body = incoming.service, incoming.body
    sources = [name for name in ("content", "prompt", "messages") if getattr(body, name) is not None]
    if len(sources) != 1:
        raise UserError("give one of content, prompt and messages", param=sources[1] if sources else "content")
    async with service.admission.admit("tok-"), service.pool.use(body.model) as model:
        llm = model.in_process("/tokenize")
        tokens = await incoming.in_thread(lambda: _tokens(service, llm, body))
        warnings, context = list(incoming.warnings), llm.profile.context
        return TokenizeReply(tokens=tokens, count=len(tokens), max_model_len=context, warnings=warnings)


@endpoint(DetokenizeBody)
async def detokenize(incoming: Incoming[DetokenizeBody]) -> DetokenizeReply:
    body = incoming.body
    service = incoming.service
    async with service.admission.admit("tok-"), service.pool.use(body.model) as model:
        llm = model.in_process("/detokenize")

        def work() -> str:
            llm.tokenizer.check_ids(body.tokens, "tokens")
            return llm.tokenizer.decode(body.tokens, skip_special=False)

        text = await incoming.in_thread(work)
    return DetokenizeReply(content=text, prompt=text)


@endpoint(TemplateBody)
async def apply_template(incoming: Incoming[TemplateBody]) -> TemplateReply:
    """The prompt of a chat as text, control tokens by their names."""
    service, body = incoming.service, incoming.body
    async with service.admission.admit("tok-"), service.pool.use(body.model) as model:
        llm = model.in_process("/apply-template")
        return TemplateReply(prompt=await incoming.in_thread(lambda: _rendered(service, llm, body).text))


def _rendered(service: Service, llm: LLM, body: TemplateBody) -> Rendered:
    chat = ChatRequest(
        messages=messages_of(body.messages or []),
        tools=tuple(body.tools),
        thinking=thinking_of(body),
        continue_final_message=continued(body.continue_final_message, body.add_generation_prompt),
    )
    prepared = service.prepared(chat, llm, None)
    refuse_hopeless_request(prepared, llm.profile)
    return llm.rendered(prepared)


def _tokens(service: Service, llm: LLM, body: TokenizeBody) -> list[int | dict[str, Any]]:
    ids = _ids(service, llm, body)
    if not body.with_pieces:
        return [*ids]
    if len(ids) > MAX_PIECES:
        text = f"with_pieces: the text has {len(ids)} tokens, {MAX_PIECES} are the limit"
        raise UserError(text, param="with_pieces")
    return [{"id": i, "piece": _piece(llm.tokenizer.token_bytes(i))} for i in ids]


def _ids(service: Service, llm: LLM, body: TokenizeBody) -> list[int]:
    if body.messages is not None:
        return list(_rendered(service, llm, body).ids)
    text = body.content if body.content is not None else body.prompt
    assert text is not None
    return llm.tokenize(text, allow_control=body.allow_special_tokens)


def _piece(raw: bytes) -> str | list[int]:
    """The text of an id; its bytes when they are no whole characters, as llama.cpp gives them."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
