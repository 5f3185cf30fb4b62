"""What a local model is and what it can do, without loading its weights: for `ponder show`, servers and the engine.

    describe(Path("Qwen3-0.6B")).capability      # "hybrid"

The chat template is only searched for marks, never executed (SEC-2).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ponder.core.errors import LoadError, UserError
from ponder.core.gguf import GGUF
from ponder.core.params import ANSWER_DEFAULTS, THINKING_DEFAULTS, Capability, SamplingParams
from ponder.model.capacity import CPU_DTYPES, released, weight_bytes
from ponder.model.card import Card, read_card
from ponder.model.config import ModelConfig, ParameterCounts
from ponder.model.formats.folder import chat_template, read_json
from ponder.model.formats.gguf_tokenizer import gguf_template
from ponder.model.hf_config import ARCHITECTURES
from ponder.model.hub.place import whole_name
from ponder.model.hub.registry import without_form
from ponder.model.load import open_checkpoint
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.chat.template import Template, TemplateTrust, capability_of, is_known, of_model, template_warning
from ponder.text.tokenizer import vocabulary

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


class ModelInfo(Struct, frozen=True):
    """capability: hybrid models can think or not, thinking ones always do, instruct ones never; base ones only continue
    text (TH-4). template: the prompt format, see `text.template`; template_trust: whether it is the model's own.
    eos_ids: what ends a turn (RL-3).
    thinking, answer: sampling defaults of the two modes (RL-1). weight_bytes: memory of the weights by dtype.
    kv_bytes: cache memory of one token, bf16. native_context: trained with plain RoPE; max_context: with YaRN.
    """

    name: str
    path: Path | None  # None for a model that is not here
    architecture: str
    config: ModelConfig
    parameters: ParameterCounts
    template: Template
    capability: Capability
    eos_ids: tuple[int, ...]
    thinking: SamplingParams
    answer: SamplingParams
    native_context: int
    max_context: int
    stored_bytes: int  # 0 when it is not here
    weight_bytes: dict[str, int]
    kv_bytes: int
    template_trust: TemplateTrust = "known"
    card: Card | None = None  # what its maker says of it
    warnings: tuple[str, ...] = ()


def describe(
    path: str | Path,
    name: str | None = None,
    *,
    checkpoint: Checkpoint | None = None,
    added: dict[str, int] | None = None,
    dtypes: Iterable[str] = CPU_DTYPES,
) -> ModelInfo:
    """path: an HF folder or .gguf file. checkpoint, added: for who has opened it, and read its added tokens, already.
    dtypes: those of `weight_bytes`; all of them take half a second for a large mixture of experts.

    Raises LoadError when it is not a model that Ponder loads.
    """
    path = Path(path)
    if checkpoint is None:
        checkpoint = open_checkpoint(path)
    gguf = checkpoint.gguf
    if added is None:
        added = vocabulary.added_in_gguf(gguf) if gguf else vocabulary.from_json(path / "tokenizer.json").added
    template = gguf_template(gguf) if gguf else chat_template(path)
    config, generation = checkpoint.config, checkpoint.generation_config
    capability = _capability(template, added, _declared_ends(config, generation) or _end_token(path, gguf, added))
    eos, warnings = _eos(added, capability, config, generation)
    chosen = of_model(template, capability, has_block="<think>" in added)
    trust = _trust(template, capability)
    card = None if gguf else read_card(path)
    thinking, answer = _sampling(capability, config, generation, checkpoint.origin, card.answer if card else {})
    return ModelInfo(
        name=name or (_own_name(path, gguf)),
        path=path,
        architecture=ARCHITECTURES[config.model_type],
        config=config,
        parameters=config.parameter_counts(),
        template=chosen,
        template_trust=trust,
        capability=capability,
        eos_ids=eos,
        thinking=thinking,
        answer=answer,
        native_context=config.native_context,
        max_context=max(config.max_position_embeddings, 4 * config.native_context),  # the tested YaRN factor
        stored_bytes=sum(s.nbytes for s in checkpoint.tensors.values()),
        weight_bytes=weight_bytes(checkpoint, dtypes),
        kv_bytes=config.kv_bytes_per_token("bf16"),
        card=card,
        warnings=(*checkpoint.warnings, *warnings, *template_warning(trust, chosen)),
    )


def _own_name(path: Path, gguf: GGUF | None) -> str:
    """A file or folder is called what it is called; a blob of Ollama what its maker called it."""
    if gguf is None:
        return path.resolve().name
    if gguf.path.suffix:
        return whole_name(gguf.path)
    title = gguf.metadata.get("general.name")
    return title if isinstance(title, str) and title else gguf.path.name


def describe_released(name: str) -> ModelInfo | None:
    """A name of the tables by its shape alone, before anything is downloaded; None for any other name."""
    shape = released(name)
    if shape is None:
        return None
    config = shape.config
    capability, template = _released_kind(name, config)
    thinking, answer = _sampling(capability, config, {}, name)
    return ModelInfo(
        name=name,
        path=None,
        architecture=ARCHITECTURES[config.model_type],
        config=config,
        parameters=config.parameter_counts(),
        template=template,
        capability=capability,
        eos_ids=(151643,) if capability == "base" else (151645, 151643),
        thinking=thinking,
        answer=answer,
        native_context=config.native_context,
        max_context=max(config.max_position_embeddings, 4 * config.native_context),
        stored_bytes=0,
        weight_bytes=weight_bytes(shape),
        kv_bytes=config.kv_bytes_per_token("bf16"),
    )


def _released_kind(name: str, config: ModelConfig) -> tuple[Capability, Template]:
    name = without_form(name)
    if name.startswith("qwq:"):
        return "thinking", "qwq"
    if name.startswith("qwen3-coder:"):
        return "instruct", "qwen3-coder"
    if not config.qk_norm:
        return "instruct", "qwen2.5"
    kinds: dict[str, Capability] = {"-base": "base", "-thinking-2507": "thinking", "-instruct-2507": "instruct"}
    capability: Capability = next((kind for end, kind in kinds.items() if name.endswith(end)), "hybrid")
    return capability, of_model(None, capability, has_block=True)


def _capability(template: str | None, added: dict[str, int], ends: set[int]) -> Capability:
    """A base checkpoint may carry a chat template, but ends with <|endoftext|>; a chat model's file may have lost its
    template, but ends with <|im_end|>, and the tags of the block are among its tokens."""
    if template is None and added.get("<|im_end|>") not in ends:
        return "base"
    if template is None:
        return "hybrid" if "<think>" in added else "instruct"
    return "base" if ends and ends <= {151643, added.get("<|endoftext|>")} else capability_of(template)


def _declared_ends(config: ModelConfig, generation: dict[str, Any]) -> set[int]:
    """Both files together: a fine-tune of a base model often mends one of them only."""
    declared = generation.get("eos_token_id")
    return {*config.eos_token_ids, *(declared if isinstance(declared, list) else [declared] if declared else [])}


def _end_token(path: Path, gguf: GGUF | None, added: dict[str, int]) -> set[int]:
    """What the tokenizer of a folder calls its end, where nothing else does."""
    named = None if gguf else read_json(path / "tokenizer_config.json").get("eos_token")
    text = named.get("content") if isinstance(named, dict) else named
    return {added[text]} if isinstance(text, str) and text in added else set()


def _trust(template: str | None, capability: Capability) -> TemplateTrust:
    if template is None:
        return "known" if capability == "base" else "guessed"
    return "known" if is_known(template) else "unknown"


def _eos(
    added: dict[str, int], capability: Capability, config: ModelConfig, generation: dict[str, Any]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The ids that end a turn, and a warning when the files say otherwise: they are overruled (RL-3)."""
    names = ("<|endoftext|>",) if capability == "base" else ("<|im_end|>", "<|endoftext|>")
    right = tuple(added[n] for n in names if n in added)
    declared = generation.get("eos_token_id", list(config.eos_token_ids))
    wrong = sorted(set(declared if isinstance(declared, list) else [declared]) - set(right), key=str)
    if not wrong:
        return right, ()
    return right, (f"the model's files name {wrong} as end of text; a {capability} model ends with {list(right)}",)


def _sampling(
    capability: Capability, config: ModelConfig, generation: dict[str, Any], origin: str,
    plain: Mapping[str, Any] | None = None,
) -> tuple[SamplingParams, SamplingParams]:  # fmt: skip
    """(thinking, answer). generation_config.json holds one mode: thinking where the model can, else the answer's.
    plain: the other one, where a card says it."""
    answer = ANSWER_DEFAULTS
    if config.model_type == "qwen2" and capability == "instruct":
        # Qwen2.5-Instruct's generation_config.json (recalled): the models below 3B repeat themselves more
        small = config.parameter_counts().non_embedding < 2_000_000_000
        answer = structs.replace(answer, repetition_penalty=1.1 if small else 1.05)
    given = {k: generation[k] for k in _SAMPLING if generation.get(k) is not None}
    if generation.get("do_sample") is False:
        given["temperature"] = 0.0
    try:
        if capability in ("hybrid", "thinking"):
            return structs.replace(THINKING_DEFAULTS, **given), structs.replace(answer, **(plain or {}))
        return THINKING_DEFAULTS, structs.replace(answer, **given)
    except (UserError, TypeError) as e:  # TypeError: a string where a number belongs
        raise LoadError(f"{origin}: generation_config.json or card.json: {e}") from e
