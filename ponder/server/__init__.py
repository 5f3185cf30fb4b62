"""One HTTP server for the clients that already exist: OpenAI, Anthropic and Ollama dialects, and a web chat.

Every dialect turns its body into a `ChatRequest`, runs it on the same engine and writes the events in its own form.
"""
