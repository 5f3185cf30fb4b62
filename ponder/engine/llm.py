"""The Python API: a loaded model to talk to.

    from ponder import LLM

    with LLM("qwen3:0.6b") as llm:
        print(llm.chat("Why is the sky blue?", thinking=200).text)
        for piece in llm.stream("And at sunset?", temperature=0.2):
            print(piece, end="", flush=True)

Every call runs in the engine's one batch, so calls from many threads or tasks are served together. A request is
rendered, checked and its grammar compiled in the caller's thread; what cannot hold raises UserError there.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack, cast, overload

from msgspec import Struct, structs

from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.protocol import Abilities, Health
from ponder.core.request import ChatRequest
from ponder.engine.chat import Chat
from ponder.engine.decoding import matcher
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
    grammar_of,
    sampling_of,
    thinking_of,
)
from ponder.engine.result import Result
from ponder.engine.scheduling.engine import Engine
from ponder.engine.scheduling.handle import Handle
from ponder.engine.scheduling.stats import Stats
from ponder.engine.text_scores import TextScores
from ponder.text.chat.spans import Rendered
from ponder.text.chat.template import calls_are_xml
from ponder.text.fill_in import SourceFile, fill_in_ends
from ponder.text.tokenizer.tokenizer import Tokenizer


class LLM(Chat, TextScores):
    """A model, its tokenizer and its engine. Thread-safe. Implements `ponder.core.protocol.ChatModel`.

    >>> from ponder import LLM
    >>> with LLM("ponder-mini") as llm:  # comes with Ponder; "qwen3:0.6b" is downloaded
    ...     llm.chat("Hello", temperature=0).text
    'Hello...'
    """

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
        """What it can, and its defaults."""
        self.name = loaded.profile.name
        self.path = loaded.path
        """Where its files lie; None for random weights."""
        self.note = loaded.note
        """Why this model, when none was named."""
        self.warnings = loaded.warnings
        self.info = loaded.info
        """What the model's files say; None for a script."""
        self._prompts = PromptWriter(loaded.tokenizer, loaded.profile, loaded.template)
        self._xml_calls = calls_are_xml(loaded.template)
        self.ceiling = ceiling or Ceiling()

    def begin(self, request: ChatRequest) -> Handle:
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
        """How many ids the prompt of a request has, also of one that is some contexts too long. Raises
        ContextLengthExceeded for one that no tokenisation makes short enough, and for one of many contexts."""
        refuse_hopeless_request(request, self.profile)
        return len(self.rendered(request).ids)

    def stats(self) -> Stats:
        """What the engine has computed, and how full its cache is."""
        return self.engine.stats()

    def metrics(self) -> Iterator[tuple[str, dict[str, str], Struct]]:
        """(what is counted, its labels, numbers)"""
        yield "engine", {}, self.stats()

    @property
    def abilities(self) -> Abilities:
        """Whether it thinks, and whether that can be switched."""
        profile = self.profile
        return Abilities(capability=profile.capability, untagged_calls=profile.untagged_calls, local=True)

    def health(self) -> Health:
        """Whether the engine runs and answers."""
        return self.engine.health()

    def in_process(self, what: str) -> "LLM":
        """This model. One of another server refuses `what`, because its ids are not known here."""
        return self

    def prepare(self) -> None:
        """Start now with what the first request would wait for."""
        self.tokenizer.prepare()
        matcher.prepare(self.tokenizer, self.profile.eos_ids)
        self.engine.prepare()

    @property
    def weights_version(self) -> int:
        """0 at the start, one more after each `weights_changed`."""
        return self.engine.weights_version

    def weights_changed(self) -> int:
        """After the model's weights were changed in place, see `Engine.weights_changed`."""
        return self.engine.weights_changed()

    def close(self) -> None:
        """Cancel what runs, stop the engine, let the model go. Idempotent."""
        self.engine.close()

    def __repr__(self) -> str:
        return f"LLM({self.name!r}, {self.profile.capability}, context {self.profile.context})"

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
