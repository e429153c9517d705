"""Reading and writing of files by suffix; sound, pictures and pages of music."""

from mmt.music.files import read, write
from mmt.music.page.notebook import show

__all__ = ["read", "write", "show"]
