"""The example pieces: those of `data/tiny`, which are in the public domain (see its `NOTICE.md`)."""

from __future__ import annotations

from mmt.model.recipes import shipped

EXAMPLES: dict[str, str] = {
    "Emilie Mayer: String Quartet in G minor": "mayer_quartet_in_g_minor.mid",
    "Robert Franz: Für Einen": "franz_fuer_einen.mid",
    "Liza Lehmann: In April Mood": "lehmann_in_april_mood.mid",
    "Hubert Parry: Good Night": "parry_good_night.mxl",
}


def read_example(title: str) -> tuple[str, bytes]:
    """The file name and content of an example."""
    path = shipped("data", "tiny", EXAMPLES[title])
    return path.name, path.read_bytes()
