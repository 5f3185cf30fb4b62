"""The Python API: a loaded model to talk to.

    from ponder import LLM

    with LLM("qwen3:0.6b") as llm:
        print(llm.chat("Why is the sky blue?", thinking=200).text)
        for event in llm.chat_stream("And at sunset?", temperature=0.2): ...

Every call runs in the engine's one batch, so calls from many threads or tasks are served together. A request is
rendered, checked and its grammar compiled in the caller's thread; what cannot hold raises UserError there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack, cast, overload

from msgspec import Struct, structs

from ponder.core.event import Event
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.protocol import Abilities, Health
from ponder.core.request import ChatRequest, History, Truncation
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules, chat_rules
from ponder.engine.decoding.prompt import Prompt, PromptWriter, refuse_hopeless_request
from ponder.engine.decoding.request_state import RequestState
from ponder.engine.decoding.settings import Ceiling, Mode, ModelProfile, choose_mode, resolve
from ponder.engine.load_options import LoadFields, load_options
from ponder.engine.loaded import Loaded, open_model
from ponder.engine.options import (
    ChatFields,
    GenerateFields,
    Messages,
    SamplingFields,
    checked,
    grammar_of,
    messages_of,
    sampling_of,
    thinking_of,
    tools_of,
)
from ponder.engine.result import Result, choice_of
from ponder.engine.scheduling.engine import Engine
from ponder.engine.scheduling.handle import Handle
from ponder.engine.scheduling.stats import Stats
from ponder.engine.text_scores import TextScores
from ponder.text.chat.spans import Rendered
from ponder.text.chat.template import calls_are_xml
from ponder.text.fill_in import SourceFile, fill_in_ends
from ponder.text.tokenizer.tokenizer import Tokenizer


class LLM(TextScores):
    """A model, its tokenizer and its engine. Thread-safe. Implements `ponder.core.protocol.ChatModel`."""

    def __init__(
        self,
        model: str | Path | Loaded | None = None,
        *,
        chunk: int = 128,
        ceiling: Ceiling | None = None,
        **options: Unpack[LoadFields],
    ) -> None:
        """model: a name such as "qwen3:0.6b", a folder, a .gguf file, "scripted:FILE"; None is the best to be had.

        chunk: ids computed in one step at most. ceiling: upper limits for every request. options: dtype, max_context,
        threads, kv_memory, kv_blocks, kv_dtype, max_batch, keep_packed, adapter, speculation; see `LoadOptions`.
        """
        how = load_options(**options)
        loaded = model if isinstance(model, Loaded) else open_model(model, how)
        self.engine = Engine(loaded.runner, max_batch=how.max_batch, chunk=chunk, drafter=loaded.drafter)
        self.tokenizer: Tokenizer = loaded.tokenizer
        self.profile: ModelProfile = loaded.profile
        self.name = loaded.profile.name
        self.path = loaded.path  # where its files lie; None for random weights
        self.note = loaded.note  # why this model, when none was named
        self.warnings = loaded.warnings
        self.info = loaded.info  # what the model's files say; None for a script
        self._prompts = PromptWriter(loaded.tokenizer, loaded.profile, loaded.template)
        self._xml_calls = calls_are_xml(loaded.template)
        self.ceiling = ceiling or Ceiling()

    # -- chat -------------------------------------------------------------------------------------------------------

    def chat(self, messages: Messages, **options: Unpack[ChatFields]) -> Result:
        """Ask and wait. messages: a text, or messages as `Message` or dicts. For the options see `request`."""
        return self._gather(self.chat_stream(messages, **options))

    def chat_stream(self, messages: Messages, **options: Unpack[ChatFields]) -> Handle:
        """Ask and follow the events: `for event in llm.chat_stream(...)`, or `async for`."""
        return self.stream(self.request(messages, **options))

    async def achat(self, messages: Messages, **options: Unpack[ChatFields]) -> Result:
        return await self._agather(await self.achat_stream(messages, **options))

    async def achat_stream(self, messages: Messages, **options: Unpack[ChatFields]) -> Handle:
        """Like `chat_stream`, with the work before the first step (rendering, grammar) kept off the event loop."""
        from asyncio import to_thread  # only for who is async: a tenth of the imports

        return await to_thread(self.chat_stream, messages, **options)

    def request(
        self,
        messages: Messages,
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        thinking: bool | int | Thinking | None = None,
        budget: int | None = None,
        sampling: SamplingParams | None = None,
        grammar: Grammar | None = None,
        json_schema: dict[str, Any] | str | None = None,
        history: History = "strip",
        truncation: Truncation = "disabled",
        continue_final_message: bool = False,
        **shorthand: Unpack[SamplingFields],
    ) -> ChatRequest:
        """The request that these options mean; `stream` takes it, here or from any other model.

        thinking: True / False is the hard switch, a number the budget in ids, None what the text says, default on.
        history: "strip" drops earlier thoughts as the official template does, "keep" leaves them in, "exact" re-uses
        the ids of earlier replies, so that a tool loop computes new ids only (HC-2).
        truncation: "auto" leaves out the oldest turns of a conversation that does not fit, with a warning (LC-1).
        continue_final_message: the last message, which is the assistant's, is the beginning of the reply.
        shorthand: any field of SamplingParams, temperature=0.2 for example. Raises UserError for an unknown name.
        """
        values = {
            "messages": messages_of(messages),
            "tools": tools_of(tools),
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "sampling": sampling_of(sampling, {**shorthand}),
            "thinking": thinking_of(thinking, budget),
            "grammar": grammar_of(grammar, json_schema),
            "history": history,
            "truncation": truncation,
            "continue_final_message": continue_final_message,
        }
        return checked(values, ChatRequest)

    def stream(self, request: ChatRequest) -> Handle:
        """Start a chat request. Raises UserError when it cannot hold; nothing has run then."""
        mode, rendered = self._prompts.write(request)
        rules = chat_rules(self.tokenizer, self.profile, request, xml=self._xml_calls)
        return self._submit(rendered.ids, request.sampling, request.thinking, mode, rules)

    # -- completion -------------------------------------------------------------------------------------------------

    @overload
    def generate(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too: the first one holds
        self, prompt: Prompt, sampling: SamplingParams | None = None, **options: Unpack[GenerateFields]
    ) -> Result: ...
    @overload
    def generate(
        self,
        prompt: Sequence[str] | Sequence[list[int]],
        sampling: SamplingParams | None = None,
        **options: Unpack[GenerateFields],
    ) -> list[Result]: ...
    def generate(
        self,
        prompt: Prompt | Sequence[str] | Sequence[list[int]],
        sampling: SamplingParams | None = None,
        **options: Unpack[GenerateFields],
    ) -> Result | list[Result]:
        """Continue a prompt as it stands, without a template; a list of prompts is computed together.
        For the options see `generate_stream`."""
        if not isinstance(prompt, list | tuple) or isinstance(next(iter(prompt), 0), int):
            return self._gather(self.generate_stream(cast(Prompt, prompt), sampling, **options))
        handles = [self.generate_stream(p, sampling, **options) for p in cast(Sequence[Prompt], prompt)]
        return [self._gather(handle) for handle in handles]

    def generate_stream(
        self,
        prompt: Prompt,
        sampling: SamplingParams | None = None,
        *,
        thinking: bool | int | Thinking | None = None,
        budget: int | None = None,
        grammar: Grammar | None = None,
        json_schema: dict[str, Any] | str | None = None,
        allow_control: bool = False,
        raw: bool = False,
        suffix: str | None = None,
        files: Sequence[SourceFile] = (),
        **shorthand: Unpack[SamplingFields],
    ) -> Handle:
        """prompt: text or ids. allow_control: control tokens such as <|im_start|> in the text become their ids; only
        for text you own. raw: what comes back is one text, with its tags and newlines, and a grammar holds from its
        first id; else thoughts are told apart. suffix: fill in what stands between the prompt and this text, raw;
        files: others of the same repository, for that. The other options are those of `request`."""
        wanted = sampling_of(sampling, {**shorthand})
        ids = self._prompts.raw(prompt, suffix, files, allow_control=allow_control)
        if suffix is not None:
            ends = (*wanted.stop_token_ids, *fill_in_ends(self.tokenizer))
            wanted, raw = structs.replace(wanted, stop_token_ids=tuple(dict.fromkeys(ends))), True
        switches = thinking_of(thinking, budget)
        mode = choose_mode(switches, (), self.profile)
        rules = answer_rules(self.tokenizer, self.profile.eos_ids, grammar=grammar_of(grammar, json_schema))
        return self._submit(ids, wanted, switches, mode, rules, raw=raw)

    # -- the rest ---------------------------------------------------------------------------------------------------

    def render(self, messages: Messages, **options: Unpack[ChatFields]) -> Rendered:
        """The prompt that `chat` would send for these messages and options, without running it."""
        request = self.request(messages, **options)
        return self.rendered(request)

    def rendered(self, request: ChatRequest) -> Rendered:
        """The prompt of a request that `stream` would run."""
        return self._prompts.whole(request)

    def count_tokens(self, request: ChatRequest) -> int:
        """How many ids the prompt of a request has, also of one that is somewhat too long. Raises
        ContextLengthExceeded for one that no tokenisation makes short enough."""
        refuse_hopeless_request(request, self.profile)
        return len(self.rendered(request).ids)

    def stats(self) -> Stats:
        return self.engine.stats()

    def metrics(self) -> Iterator[tuple[str, dict[str, str], Struct]]:
        """(what is counted, its labels, numbers)"""
        yield "engine", {}, self.stats()

    @property
    def abilities(self) -> Abilities:
        profile = self.profile
        return Abilities(capability=profile.capability, untagged_calls=profile.untagged_calls, local=True)

    def health(self) -> Health:
        return self.engine.health()

    def in_process(self, what: str) -> "LLM":
        """This model. One of another server refuses `what`, because its ids are not known here."""
        return self

    def prepare(self) -> None:
        """Start now with what the first request would wait for."""
        self.tokenizer.prepare()
        self.engine.prepare()

    @property
    def weights_version(self) -> int:
        return self.engine.weights_version

    def weights_changed(self) -> int:
        """After the model's weights were changed in place, see `Engine.weights_changed`."""
        return self.engine.weights_changed()

    def close(self) -> None:
        """Cancel what runs, stop the engine, let the model go. Idempotent."""
        self.engine.close()

    def __enter__(self) -> "LLM":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(
        self,
        ids: list[int],
        sampling: SamplingParams,
        thinking: Thinking,
        mode: Mode,
        rules: AnswerRules,
        *,
        raw: bool = False,
    ) -> Handle:
        self.tokenizer.check_ids(ids, "prompt")  # given as ids, or recorded in a message
        settings = resolve(sampling, thinking, mode, self.profile, len(ids), self.ceiling)
        choices = range(settings.sampling.n)
        return self.engine.submit(
            ids, [RequestState(settings, self.tokenizer, ids, rules=rules, choice=c, raw=raw) for c in choices]
        )

    def _gather(self, handle: Handle) -> Result:
        events: list[list[Event]] = [[] for _ in range(len(handle))]
        for choice, event in handle.merged():
            events[choice].append(event)
        return self.result(handle, events)

    async def _agather(self, handle: Handle) -> Result:
        events: list[list[Event]] = [[] for _ in range(len(handle))]
        async for choice, event in handle.amerged():
            events[choice].append(event)
        return self.result(handle, events)

    def result(self, handle: Handle, events: list[list[Event]]) -> Result:
        """What a stream said, gathered: events[i] are those of choice i, `Finish` included."""
        choices = (choice_of(found, handle.turn_ids(c), handle.ids(c)) for c, found in enumerate(events))
        return Result(tuple(choices), handle.prompt_ids())
