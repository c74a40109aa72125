"""OpenAI Chat Completions, and what everybody else makes of it."""
