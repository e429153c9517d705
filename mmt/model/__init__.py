"""The network: configuration, layers, heads, cache, and reading and writing of checkpoint folders."""
