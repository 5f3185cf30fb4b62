"""A small web service: one model for all requests, answers streamed. Needs `pip install fastapi uvicorn`.

MODEL=qwen3:0.6b uvicorn --app-dir examples web_app:app
curl -N "localhost:8000/ask?question=Why+is+the+sky+blue"
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from ponder import LLM, UserError

models: dict[str, LLM] = {}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with LLM(os.environ.get("MODEL")) as llm:
        models["default"] = llm
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
async def ask(question: str, max_tokens: int = 400) -> StreamingResponse:
    """The stream ends when the client goes: leaving it cancels the request."""
    stream = models["default"].astream(question, max_tokens=max_tokens)
    return StreamingResponse(aiter(stream), media_type="text/plain; charset=utf-8")


@app.get("/count")
async def count(text: str) -> dict[str, int]:
    try:
        return {"tokens": len(models["default"].tokenize(text))}
    except UserError as e:
        raise HTTPException(400, str(e)) from e
