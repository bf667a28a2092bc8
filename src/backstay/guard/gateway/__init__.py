"""The gateway: an OpenAI-compatible server in front of models, with every text and tool call decided by policy."""
