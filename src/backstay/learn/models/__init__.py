"""Base models, adapters and decoders."""
