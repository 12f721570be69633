"""The engine's HTTP side: OpenAI's chat completions and vLLM's adapter calls."""
