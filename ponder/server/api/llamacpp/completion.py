"""POST /completion and /infill, as llama.cpp's server has them: a raw prompt continued, and what stands between two
texts, which editors ask for."""

from typing import Any

from msgspec import Struct, field, structs

from ponder.core.errors import UserError
from ponder.core.event import Finish
from ponder.core.params import SamplingParams
from ponder.engine.scheduling.handle import Handle
from ponder.server.api.llamacpp.timings import Timings, timings_of
from ponder.server.api.openai.chat_request import SamplingBody, sampling_of
from ponder.server.api.openai.completions_request import is_ids, thinking_of
from ponder.server.api.stream_reply import Closed, Ended, Failed, Opened, PartDelta, Piece, answer, pieces_of
from ponder.server.api.structured_output import grammar_of
from ponder.server.http.errors import openai_body
from ponder.server.http.stream import data
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.pool import Model
from ponder.server.runtime.service import ActiveRequest
from ponder.text.fill_in import SourceFile

PREFIX = "llama-"
Body = dict[str, Any]


class LlamaBody(SamplingBody, frozen=True, kw_only=True):
    """n_predict: -1 is no limit. cache_prompt: prompts are always cached."""

    model: str = ""
    stream: bool = False
    n_predict: int | None = None
    repeat_penalty: float | None = None
    cache_prompt: bool = True


class NativeBody(LlamaBody, frozen=True, kw_only=True):
    prompt: str | list[Any]


class ExtraFile(Struct, frozen=True):
    text: str
    filename: str = "file"


class InfillBody(LlamaBody, frozen=True, kw_only=True):
    """prompt: what the line begins with that is being written, after input_prefix."""

    input_prefix: str
    input_suffix: str
    input_extra: list[ExtraFile] = field(default_factory=list)
    prompt: str = ""


class LlamaReply(Struct, kw_only=True):
    index: int
    content: str
    stop: bool
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    tokens_cached: int
    truncated: bool
    stop_type: str
    stopping_word: str
    timings: Timings
    warnings: tuple[str, ...] = ()


@endpoint(NativeBody)
async def completion(incoming: Incoming[NativeBody]) -> Any:
    body = incoming.body
    if not (isinstance(body.prompt, str) or (body.prompt and is_ids(body.prompt))):
        raise UserError("prompt is a text or a list of token ids", param="prompt")
    sampling, thinking, grammar = _sampling(body), thinking_of(body), grammar_of(body)

    def submit(llm: Model) -> Handle:
        return llm.generate_stream(
            body.prompt, sampling, thinking=thinking, grammar=grammar, allow_control=True, raw=True
        )

    return await _answer(incoming, submit, body.prompt)


@endpoint(InfillBody)
async def infill(incoming: Incoming[InfillBody]) -> Any:
    body = incoming.body
    sampling, thinking, grammar = _sampling(body), thinking_of(body), grammar_of(body)
    files = [SourceFile(file.filename, file.text) for file in body.input_extra]
    before = body.input_prefix + body.prompt

    def submit(llm: Model) -> Handle:
        return llm.generate_stream(
            before, sampling, thinking=thinking, grammar=grammar, suffix=body.input_suffix, files=files
        )

    return await _answer(incoming, submit, before)


async def _answer(incoming: Incoming[Any], submit: Any, prompt: Any) -> Any:
    service, body = incoming.service, incoming.body
    run = service.run(body.model, submit, PREFIX, prompt)
    dialect = LlamaDialect(service.pool.find(body.model).name)
    return await answer(incoming, pieces_of(run, incoming.warnings, raw=True), dialect)


def _sampling(body: LlamaBody) -> SamplingParams:
    if body.n != 1:
        raise UserError("n: this route gives one answer; use /v1/completions", param="n")
    if body.repeat_penalty is not None and body.repetition_penalty not in (None, body.repeat_penalty):
        raise UserError("repeat_penalty and repetition_penalty differ: give one of them", param="repeat_penalty")
    if body.repeat_penalty is not None:
        body = structs.replace(body, repetition_penalty=body.repeat_penalty)
    try:
        return sampling_of(body, max_tokens=None if body.n_predict in (None, -1) else body.n_predict)
    except UserError as e:
        if e.param == "max_tokens":
            raise UserError(f"n_predict: {e}", param="n_predict") from e
        raise


class LlamaDialect:
    def __init__(self, model: str) -> None:
        self._model = model
        self._active: ActiveRequest

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._active = active
            case PartDelta(_, text):
                return data(self._piece(text))
            case Ended(_, finish):
                return data(self._end("", finish))
            case Failed(error):
                return data(openai_body(error))
        return b""

    def alive(self) -> bytes:
        return data(self._piece(""))

    async def whole(self, reply: Closed) -> LlamaReply:
        self._active = reply.source
        return self._end("".join(part.text for part in reply.parts[0]), reply.finishes[0])

    def _piece(self, text: str) -> Body:
        handle = self._active.handle
        return {
            "index": 0, "content": text, "stop": False, "tokens_predicted": handle.timings().generated,
            "tokens_evaluated": len(handle.prompt_ids()),
        }  # fmt: skip

    def _end(self, text: str, finish: Finish) -> LlamaReply:
        usage = finish.usage
        limited = finish.reason in ("length", "cancelled")
        return LlamaReply(
            index=0,
            content=text,
            stop=True,
            model=self._model,
            tokens_predicted=usage.completion_tokens,
            tokens_evaluated=usage.prompt_tokens,
            tokens_cached=usage.cached_tokens,
            truncated=False,
            stop_type="limit" if limited else "word" if finish.stop_reason else "eos",
            stopping_word="" if limited else finish.stop_reason or "",
            timings=timings_of(self._active.handle, usage),
            warnings=finish.warnings,
        )
