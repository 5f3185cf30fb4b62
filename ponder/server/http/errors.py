"""From an exception to a status and to the error body of each dialect (API-4). Never HTML, never a traceback."""

from collections.abc import Mapping
from typing import Literal

from starlette.responses import Response

from ponder.core.errors import ContextLengthExceeded, LoadError, UpstreamError, UserError
from ponder.server.http.log import log
from ponder.server.http.reply import JsonReply, json_response


class ErrorText(JsonReply):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(JsonReply):
    error: ErrorText


class AnthropicErrorText(JsonReply):
    type: str
    message: str


class AnthropicError(JsonReply):
    type: Literal["error"]
    error: AnthropicErrorText


class OllamaError(JsonReply):
    error: str


class ApiError(Exception):
    """status: HTTP status. kind: the dialects' error type. code: OpenAI's machine-readable code, or None."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", code: str | None = None,
        param: str | None = None, retry_after: int | None = None, context: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """context: (tokens of the prompt, most there may be) where it does not fit."""
        super().__init__(message)
        self.context = context
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


def api_error(error: Exception) -> ApiError:
    """What the client reads. An exception that is nobody's fault but ours stays vague; the log has the traceback."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, LoadError):
        return ApiError(500, str(error), kind="server_error", code="model_not_loaded")
    if isinstance(error, UpstreamError):
        return _upstream(error)
    if isinstance(error, ContextLengthExceeded):
        context = (error.prompt_tokens, error.limit) if error.limit else None  # unknown where another server said so
        return ApiError(400, str(error), code=error.code, param=error.param, context=context)
    if isinstance(error, UserError):
        return ApiError(400, str(error), code=error.code, param=error.param)
    return ApiError(500, "the server failed on this request; its log has the details", kind="server_error")


def logged_error(what: str, error: Exception) -> ApiError:
    """The same, with a line in the log about what is not the client's fault. what: begins the line."""
    failure = api_error(error)
    if isinstance(error, UpstreamError):
        log.warning("%s: %s", what, error)
    elif failure.status >= 500 and not isinstance(error, ApiError):
        log.error("%s failed", what, exc_info=error)
    return failure


def _upstream(error: UpstreamError) -> ApiError:
    """429 stays 429, so that clients wait; not reachable is 503, any other failure of another server 502."""
    if error.status == 429:
        wait = max(1, round(error.retry_after or 1))
        return ApiError(429, str(error), kind="rate_limit_error", code="upstream_busy", retry_after=wait)
    status = 503 if error.status is None else 502
    return ApiError(status, str(error), kind="server_error", code="upstream_failed", retry_after=1)


# Clients that make room for a prompt by themselves know that it is too long by these words.
TOO_LONG = {
    "openai": "This model's maximum context length is {1} tokens, the prompt has {0}.",
    "anthropic": "prompt is too long: {0} tokens > {1} maximum.",
    "ollama": "the input length exceeds the context length.",
}


def _message(error: ApiError, dialect: str) -> str:
    text = error.message if dialect == "openai" else _named(error)
    if error.code != "context_length_exceeded":
        return text
    if error.context is None:
        return f"prompt is too long: {text}" if dialect == "anthropic" else text
    return f"{TOO_LONG[dialect].format(*error.context)} {error.message}"


def openai_body(error: ApiError) -> OpenAIError:
    text = ErrorText(message=_message(error, "openai"), type=error.kind, param=error.param, code=error.code)
    return OpenAIError(error=text)


ANTHROPIC_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
}  # fmt: skip


def anthropic_body(error: ApiError) -> AnthropicError:
    kind = ANTHROPIC_KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return AnthropicError(type="error", error=AnthropicErrorText(type=kind, message=_message(error, "anthropic")))


def ollama_body(error: ApiError) -> OllamaError:
    return OllamaError(error=_message(error, "ollama"))


def _named(error: ApiError) -> str:
    """The message, with the field in front if it does not name it: these dialects have no other place for it."""
    if error.param is None or error.param in error.message:
        return error.message
    return f"{error.param}: {error.message}"


def error_response(path: str, error: ApiError, headers: Mapping[str, str] | None = None) -> Response:
    """In the dialect that `path` belongs to."""
    return json_response(body_for(path, error), error.status, error.headers if headers is None else headers)


def body_for(path: str, error: ApiError) -> OpenAIError | AnthropicError | OllamaError:
    if path.startswith("/v1/messages"):
        return anthropic_body(error)
    return ollama_body(error) if path.startswith("/api/") else openai_body(error)
