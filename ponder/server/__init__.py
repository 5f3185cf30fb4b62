"""One HTTP server for the clients that already exist: OpenAI, Anthropic and Ollama dialects, and a web chat.

A request passes http (its body, its errors), runtime (who asks, is there room, which model) and one of api's dialects:
that turns the body into a `ChatRequest`, and the neutral pieces of the reply (api/stream_reply.py) into bytes.
"""
