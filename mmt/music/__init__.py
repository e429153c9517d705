"""Files to `muspy.Music` and back, audio, piano-roll pictures."""

from mmt.music.files import read, write
from mmt.music.notebook import show

__all__ = ["read", "write", "show"]
