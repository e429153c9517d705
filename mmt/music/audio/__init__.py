"""Music to sound."""

from mmt.music.audio.rendering import (
    carried_soundfont,
    length_in_seconds,
    play,
    render,
    seconds_at,
    timed_notes,
    write_sound,
    write_wav,
)

__all__ = [
    "carried_soundfont", "length_in_seconds", "play", "render", "seconds_at", "timed_notes", "write_sound", "write_wav"
]  # fmt: skip
