"""ABC that other programs were reported to read wrongly; each case names the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from abc_tunes import played

THIRD = "*0.3333"
TWO_THIRDS = "*0.6667"


@pytest.mark.parametrize(
    ("report", "body", "expected"),
    [
        ("abcjs#1068: a tie", "K:A\nEcBA|E3 E/-E/|Ec|", "0:64 1:73 2:71 3:69 4:64*3 7:64 8:64 9:73"),
        ("abcjs#553: a tie to another pitch", "K:C\nC-|D|", "0:60 1:62"),
        ("abcjs#395: a tied accidental", "K:C\n^c2-|c c|", "0:73*3 3:72"),
        ("abcjs#790: a slur is no tie", "K:C\n(cccc)|", "0:72 1:72 2:72 3:72"),
        ("abcjs#1007: a tuplet of one note", "L:1/8\nK:C\n(3:2:1C3 C2|", "0:60 1:60"),
        ("abcjs#1007: one in the time of two", "L:1/8\nK:C\n(1:2:2CC C2|", "0:60 1:60 2:60"),
        (
            "abcjs#1117: a broken triplet",
            "L:1/8\nK:C\n(3 D2>E2F2 C2|",
            f"0:62 1:64{THIRD} 1.333:65{TWO_THIRDS} 2:60",
        ),
        (
            "abcjs#147: six in the time of four",
            "L:1/8\nK:C\n(6:4:6[CE]DCDCD C2|",
            f"0:60{THIRD} 0:64{THIRD} 0.3333:62{THIRD} 0.6667:60{THIRD} 1:62{THIRD} 1.333:60{THIRD} 1.667:62{THIRD} 2:60",
        ),
        (
            "music21#1798: tuplets in slurs",
            "K:C\n(3(ABc) (d (3e2f2))|",
            f"0:69{TWO_THIRDS} 0.6667:71{TWO_THIRDS} 1.333:72{TWO_THIRDS} 2:74 3:76*1.333 4.333:77*1.333",
        ),
        ("abcjs#901: endings 1,3", "K:C\n|:C|1,3D:|2E:|4F||", "0:60 1:62 2:60 3:64 4:60 5:62 6:60 7:65"),
        ("music21#202: a note before ::", "K:C\nC3 A::\nB4:|", "0:60*3 3:69 4:60*3 7:69 8:71*4 12:71*4"),
        (
            "music21#1483: an ending for two passes",
            "K:C\nG|:C3|[1,2D:|[3E||F|",
            "0:67 1:60*3 4:62 5:60*3 8:62 9:60*3 12:64 13:65",
        ),
        ("abcjs#394: a repeat in a part", "P:ABBA\nK:C\nP:A\nC:|\nP:B\nD|", "0:60 1:60 2:62 3:62 4:60 5:60"),
        ("abcjs#1120: an overlay in an ending", "K:C\n|:[Q:90]A|1c3|d&f:|2g|]", "0:69 1:72*3 4:74 4:77 5:69 6:79"),
        (
            "abcjs#1120: an overlay after a repeat",
            "K:C\n[V:1]|:c2|\n|g2:|\n|C2|\n[V:2]|:e2|\n|b2:|\n|B,,2&xF,|",
            "0:72*2 0:76*2 2:79*2 2:83*2 4:72*2 4:76*2 6:79*2 6:83*2 8:47*2 8:60*2 9:53",
        ),
    ],
)
def test_reported_tunes_have_their_notes(tmp_path: Path, report: str, body: str, expected: str) -> None:
    assert played(tmp_path, f"{body}\n") == expected, report


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("K:C\nC4|Z2|D4|", "0:60*4 12:62*4"),
        ("K:C\nC4|[M:3/4]Z|D3|", "0:60*4 7:62*3"),
        ("K:C\n^/C _/E ^3/2G z|", "0:60 1:64 2:69"),  # quarter tones, rounded
        ("K:HP\nFCGB|", "0:66 1:61 2:67 3:71"),  # bagpipes
        ("K:D exp _B\nBFC2|", "0:70 1:65 2:60*2"),
        ("K:C\n[C-E]4|[CE]4|", "0:60*8 0:64*4 4:64*4"),
        ("K:C\n|:[CE]4-|1[CE]4:|2[CE]2z2|]", "0:60*8 0:64*8 8:60*6 8:64*6"),
        ("K:C\n%%MIDI transpose -12\nC4|", "0:48*4"),
        ("V:1 clef=treble-8 transpose=-2 name=T\nK:C\nV:1\nC4|", "0:46*4"),
        ("V:1\nK:C\nV:1\nC4|[K:clef=treble-8]C4|", "0:60*4 4:48*4"),
        ("K:C\n{BABc}c/ C3|", "0:71*0.1 0.1:69*0.1 0.2:71*0.1 0.3:72*0.1 0.4:72*0.1 0.5:60*3"),
        ("K:C\n%%begintext\nC4|\n%%endtext\nD4|", "0:62*4"),
        ("K:C\nC4|\nL:1/8\nC8|", "0:60*4 4:60*4"),
    ],
)
def test_rarer_fields_and_signs_are_played(tmp_path: Path, body: str, expected: str) -> None:
    assert played(tmp_path, f"{body}\n") == expected
