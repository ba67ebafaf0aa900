"""The policy with its tools behind an OpenAI-compatible endpoint; the standard library's server."""
