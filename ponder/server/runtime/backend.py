"""What a server can hold: a model of this process, or one that other servers run. Both are asked the same way; what
only one of them can do is refused by the other with a UserError."""

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.engine.remote import RemoteModel
from ponder.engine.remote.reply import TokenNames
from ponder.text.tokenizer.tokenizer import Tokenizer

Model = LLM | RemoteModel
Tokens = Tokenizer | TokenNames


def local(model: Model, what: str) -> LLM:
    """The same model if it is computed here. Raises UserError for what needs its ids. what: begins the sentence."""
    if not isinstance(model, LLM):
        raise UserError(f"{what} needs the model's tokenizer, and this model is computed by another server")
    return model
