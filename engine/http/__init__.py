"""The engine's HTTP side: OpenAI's chat completions and vLLM's adapter calls.

- connections: the socket, and time limits on headers and silence
- model_service: names, adapters and requests, turned into tokens
- protocol: what requests may hold, and what answers look like
- server: the routes
"""
