"""Errors a user can do something about. Everything else is a bug and keeps its own type."""


class UserError(ValueError):
    """Bad input. The text says what to do; the command line prints it without a traceback, a server sends a 4xx.

    param: the name of the offending field or flag, when there is one. code: a word for programs, where they can do
    something about it.

    >>> from ponder import SamplingParams, UserError
    >>> try:
    ...     SamplingParams(top_p=2)
    ... except UserError as error:
    ...     print(error.param, "-", error)
    top_p - top_p must be between 0 and 1, got 2
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthExceeded(UserError):
    """The prompt does not fit (LC-1). Nothing is ever cut silently."""

    def __init__(self, prompt_tokens: int, limit: int, hint: str = "", *, at_least: bool = False) -> None:
        """at_least: prompt_tokens is a lower bound."""
        super().__init__(
            f"The prompt has {'at least ' if at_least else ''}{prompt_tokens} tokens, the context limit is {limit}. "
            + (hint or "Shorten the prompt, or start with a larger --max-context or key/value cache."),
            param="messages",
            code="context_length_exceeded",
        )
        self.prompt_tokens = prompt_tokens
        self.limit = limit

    @classmethod
    def reported(cls, text: str) -> "ContextLengthExceeded":
        """As another server reported it; the numbers are in its text, and 0 here."""
        self = cls(0, 0)
        self.args = (text,)
        return self


class LoadError(UserError):
    """A model file, folder or name that cannot be loaded; the text names the file and the reason."""


class DamagedModel(LoadError):
    """A model that computes no numbers (NaN): what it was loaded from is damaged, though nobody saw it then."""

    def __init__(self) -> None:
        super().__init__(
            "the model computes no numbers (NaN): its files, or the packed weights made of them, are damaged; fetch it "
            "again, and delete packed weights with `ponder rm --packed`"
        )


class UpstreamError(Exception):
    """Another server that we asked to answer could not: not reachable, overloaded, broken, or it left half-way.

    status: its HTTP status, None when there was no reply. retry_after: seconds after which it may be asked again.
    A request that it found wrong is a UserError instead.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
