"""The network: configuration, layers, heads, cache, compiled decoder, and checkpoints."""
