"""A proxy in front of MCP servers: tools pinned, calls and results decided by policy, nothing unknown passed on."""
