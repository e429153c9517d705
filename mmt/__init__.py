"""The Multitrack Music Transformer: write, continue and study music for many instruments."""

__version__ = "0.1.0"
