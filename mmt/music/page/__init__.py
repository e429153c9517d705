"""Music in a browser: an HTML page with a player, and the output of a notebook cell."""

from mmt.music.page.html_page import write_html
from mmt.music.page.notebook import show

__all__ = ["show", "write_html"]
