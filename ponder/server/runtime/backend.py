"""What a server can hold: a model of this process, or one that other servers run. Both are asked the same way; what
only one of them can do is refused by the other with a UserError."""

from ponder.engine.llm import LLM
from ponder.engine.remote import RemoteModel
from ponder.engine.remote.reply import TokenNames
from ponder.text.tokenizer.tokenizer import Tokenizer

Model = LLM | RemoteModel
Tokens = Tokenizer | TokenNames
