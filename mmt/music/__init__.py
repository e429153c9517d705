"""Files to `muspy.Music` and back, audio, piano-roll pictures."""

from mmt.music.files import read, write

__all__ = ["read", "write"]
