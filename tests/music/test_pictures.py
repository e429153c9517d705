"""Piano rolls: positions and colours of what is drawn."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import matplotlib
import muspy
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import mmt.music
from mmt.music import pictures
from mmt.music.pictures import colors
from mmt.representation.codes import PAPER


def piece(*tracks, title=None, signatures=()):
    """Music of resolution 12 from (program, notes) or (program, notes, is_drum); a note is (time, pitch, duration)."""
    return muspy.Music(
        metadata=muspy.Metadata(title=title),
        resolution=12,
        time_signatures=[muspy.TimeSignature(*signature) for signature in signatures],
        tracks=[
            muspy.Track(program=program, is_drum=bool(drum), notes=[muspy.Note(*note) for note in notes])
            for program, notes, *drum in tracks
        ],
    )


QUARTET = piece((40, [(0, 76, 12)]), (40, [(0, 67, 12)]), (41, [(12, 60, 24)]), (42, [(6, 48, 6), (12, 47, 6)]))


def boxes(figure):
    """The drawn notes by colour: rows of left, right, bottom, top."""
    found = {}
    for collection in figure.axes[0].collections:
        if isinstance(collection, PolyCollection):
            corners = np.array([path.vertices[:4] for path in collection.get_paths()])
            rows = np.stack(
                [*np.array([corners.min(axis=1), corners.max(axis=1)]).transpose(2, 0, 1).reshape(4, -1)], 1
            )
            found[to_rgb(collection.get_facecolor()[0][:3])] = rows
    return found


def legend(figure):
    drawn = figure.axes[0].get_legend()
    return [text.get_text() for text in drawn.get_texts()] if drawn else []


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_every_note_is_a_box_at_its_time_and_pitch_in_its_colour():
    drawn = boxes(pictures.piano_roll(QUARTET))
    assert {name: len(drawn[to_rgb(colors.instrument_color(name))]) for name in ("violin", "viola", "cello")} == {
        "violin": 2,
        "viola": 1,
        "cello": 2,
    }
    ((left, right, bottom, top),) = drawn[to_rgb(colors.instrument_color("viola"))]
    assert left == 1
    assert 2.9 < right < 3
    assert bottom == pytest.approx(59.57)
    assert top == pytest.approx(60.43)


def test_the_legend_is_in_score_order():
    music = piece(*((program, [(0, 60, 12)]) for program in (43, 0, 40, 52, 56, 71, 73, 60, 122)))
    names = ["flute", "clarinet", "horn", "trumpet", "piano", "voices", "violin", "contrabass", "Seashore"]
    assert legend(pictures.piano_roll(music)) == names


def test_doubling_instruments_share_the_row():
    drawn = boxes(
        pictures.piano_roll(piece((73, [(0, 72, 12)]), (68, [(0, 72, 24)]), (40, [(0, 72, 12), (12, 72, 12)])))
    )
    rows = [drawn[to_rgb(colors.instrument_color(name))][0] for name in ("flute", "oboe", "violin")]
    for (*_, upper_bottom, _), (*_, lower_top) in pairwise(rows):
        assert lower_top == pytest.approx(upper_bottom)
    assert [top - bottom for *_, bottom, top in rows] == pytest.approx([0.86 / 3] * 3)
    assert rows[0][3] == pytest.approx(72.43)
    second_violin_note = drawn[to_rgb(colors.instrument_color("violin"))][1]
    assert second_violin_note[3] - second_violin_note[2] == pytest.approx(0.86)


def test_c4_is_pitch_60():
    axes = pictures.piano_roll(QUARTET).axes[0]
    labels = dict(zip([text.get_text() for text in axes.get_yticklabels()], axes.get_yticks(), strict=True))
    assert labels["C4"] == 60
    assert labels["C3"] == 48


@pytest.mark.parametrize(
    ("signatures", "bars"),
    [
        ((), [0, 4, 8, 12]),
        ([(0, 3, 4)], [0, 3, 6, 9, 12, 15]),
        ([(0, 3, 4), (72, 6, 8), (144, 5, 4)], [0, 3, 6, 9, 12]),
        ([(24, 3, 4)], [0, 2, 5, 8, 11, 14]),
        ([(0, 7, 8)], [0, 3.5, 7, 10.5, 14]),
    ],
)
def test_bar_lines_follow_the_time_signatures(signatures, bars):
    music = piece((40, [(0, 60, 12)]), signatures=signatures)
    np.testing.assert_allclose(pictures.bar_lines(music, 16), bars)
    assert set(pictures.piano_roll(music).axes[0].get_xticks()) <= set(bars)


def test_drums_have_a_band_of_their_own():
    figure = pictures.piano_roll(piece((40, [(0, 60, 12)]), (0, [(0, 36, 1), (6, 38, 1), (12, 36, 1)], True)))
    axes = figure.axes[0]
    assert "drums" in [text.get_text() for text in axes.get_yticklabels()]
    assert legend(figure) == ["violin"]
    assert sum(len(rows) for rows in boxes(figure).values()) == 1
    hits = [c for c in axes.collections if isinstance(c, LineCollection) and c.get_zorder() == 3]
    places = np.array([segment[0] for segment in hits[0].get_segments()])
    np.testing.assert_allclose(places[:, 0], [0, 0.5, 1])
    assert places[0, 1] == places[2, 1] < places[1, 1] < 60


def test_the_prompt_is_marked():
    figure = pictures.piano_roll(QUARTET, prompt_beats=1.5)
    assert {"← prompt", "continuation →"} <= set(texts(figure))
    marks = [line for line in figure.axes[0].lines if list(line.get_xdata()) == [1.5, 1.5]]
    assert len(marks) == 1
    assert not {"← prompt", "continuation →"} & set(texts(pictures.piano_roll(QUARTET)))
    assert "← prompt" not in texts(pictures.piano_roll(QUARTET, prompt_beats=0))


@pytest.mark.parametrize("prompt_beats", [-1, float("nan")])
def test_a_negative_prompt_is_refused(prompt_beats):
    with pytest.raises(ValueError, match="prompt_beats is"):
        pictures.piano_roll(QUARTET, prompt_beats=prompt_beats)


def test_width_grows_with_the_music_within_limits():
    lengths = [4, 16, 40, 80, 1000, 500_000]
    figures = [pictures.piano_roll(piece((40, [(0, 60, 12), (12 * n - 12, 60, 12)]))) for n in lengths]
    widths = [figure.get_size_inches()[0] for figure in figures]
    assert widths == sorted(widths)
    assert widths[0] == widths[1] < widths[2] < widths[3]
    assert widths[4] == widths[5] < 20
    assert figures[0].axes[0].get_xlim() == (0, 16)
    assert len(figures[5].axes[0].get_xticks()) < 60


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Für Élise", "Für Élise"),
        ("Ёлка\n\x00 $x_1$ \t b", "Ёлка $x_1$ b"),
        ("東京 Łódź 🎻", "Łódź"),
        ("東京", None),
        ("None", None),
        ("", None),
        (None, None),
    ],
)
def test_characters_without_a_glyph_are_left_out_of_titles(title, shown):
    figure = pictures.piano_roll(piece((40, [(0, 60, 12)]), title=title))
    assert [text.get_text() for text in figure.texts] == [shown] * (shown is not None)
    assert not any(text.get_parse_math() for text in figure.texts)
    figure.savefig(io.BytesIO())  # a missing glyph is a warning, and a warning an error


def test_a_long_title_is_shortened():
    (title,) = pictures.piano_roll(piece((40, [(0, 60, 12)]), title="long " * 60)).texts
    assert title.get_text().endswith("…")
    assert title.get_window_extent().x1 <= title.figure.bbox.x1


@pytest.mark.parametrize("music", [piece(), piece((0, [(0, 36, 1)], True))], ids=["empty", "drums alone"])
def test_music_without_pitches_is_drawn(music):
    figure = pictures.piano_roll(music)
    assert legend(figure) == []
    assert ("no notes" in texts(figure)) == (not music.tracks)
    figure.savefig(io.BytesIO())


def test_given_axes_are_used():
    figure = Figure()
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2)
    assert pictures.piano_roll(QUARTET, axes=below) is figure
    assert not above.collections
    assert [text.get_text() for text in below.get_legend().get_texts()] == ["violin", "viola", "cello"]


def test_write_png_writes_a_png(tmp_path):
    pictures.write_png(tmp_path / "a.png", QUARTET)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_global_state_of_matplotlib_is_unchanged():
    settings = dict(matplotlib.rcParams)
    pictures.png(QUARTET)
    assert dict(matplotlib.rcParams) == settings
    assert not Gcf.get_all_fig_managers()  # no figure is registered with pyplot


def test_twenty_thousand_notes_are_drawn():
    notes = [(3 * i, 40 + i % 40, 3) for i in range(10_000)]
    drawn = boxes(pictures.piano_roll(piece((40, notes), (73, notes))))
    assert sum(len(rows) for rows in drawn.values()) == 20_000


@pytest.mark.parametrize("name", ["*e2m4*", "*BWV.232_11*", "*1762*"], ids=["drums", "Bach", "orchestra"])
def test_real_pieces_are_drawn(shared: Path, name, tmp_path):
    (path,) = (shared / "data/examples/mid").glob(name)
    pictures.write_png(tmp_path / "a.png", mmt.music.read(path))
    assert 10_000 < (tmp_path / "a.png").stat().st_size < 1_000_000


def test_every_instrument_has_a_place_in_score_order_and_a_colour():
    grey = colors.instrument_color("Seashore")
    assert colors.score_order(PAPER.names)[-1] != "Seashore"
    assert sorted(colors.score_order([*PAPER.names, *PAPER.names])) == sorted(PAPER.names)
    assert colors.score_order([*PAPER.names, "Seashore"])[-1] == "Seashore"
    assert grey not in {colors.instrument_color(name) for name in PAPER.names}


def test_colours_of_an_orchestra_are_far_apart():
    orchestra = "flute oboe clarinet bassoon horn trumpet trombone timpani violin viola cello contrabass voices piano"
    rgb = np.array([to_rgb(colors.instrument_color(name)) for name in orchestra.split()])
    apart = np.linalg.norm(rgb[:, None] - rgb, axis=2) + 10 * np.eye(len(rgb))
    assert apart.min() > 0.25
    # Contrast with white.
    assert (rgb @ (0.2126, 0.7152, 0.0722)).max() < 0.9


def test_drums_of_a_real_piece_are_below_all_pitches(shared: Path):
    (path,) = (shared / "data/examples/mid").glob("*e2m4*")
    representation = mmt.Representation(drums=True)
    music = mmt.decode(
        mmt.encode(mmt.read(path), beats=32, representation=representation), representation=representation
    )
    axes = pictures.piano_roll(music).axes[0]
    hits = [c for c in axes.collections if isinstance(c, LineCollection) and c.get_zorder() == 3]
    heights = np.array(list(hits[0].get_segments()))[:, :, 1]
    (drums,) = (track for track in music.tracks if track.is_drum)
    assert len(heights) == len(drums.notes) > 50
    assert len(np.unique(heights[:, 0])) == len({note.pitch for note in drums.notes})
    assert heights.max() < min(note.pitch for track in music.tracks if not track.is_drum for note in track.notes) - 1
    assert heights.min() > axes.get_ylim()[0]


def test_keyboards_are_below_the_parts_that_they_accompany_except_in_an_orchestra():
    assert colors.score_order(["piano", "violin", "cello", "voices"]) == ["voices", "violin", "cello", "piano"]
    assert colors.score_order(["organ", "trumpet"]) == ["trumpet", "organ"]
    assert colors.score_order(["violin", "piano", "horn", "oboe", "harp"]) == [
        "oboe",
        "horn",
        "piano",
        "harp",
        "violin",
    ]


def test_only_tracks_without_names_of_their_own_are_put_in_score_order():
    def names(*given):
        return [(t.program, t.is_drum) for t in colors.in_score_order([muspy.Track(p, d, n) for p, d, n in given])]

    assert names((0, False, "piano"), (0, True, "drums"), (40, False, None)) == [(40, False), (0, False), (0, True)]
    assert names((0, False, "Klavier"), (40, False, "Geige")) == [(0, False), (40, False)]


def test_bar_lines_follow_those_of_the_music_then_the_time_signature():
    music = piece((40, [(0, 60, 12)]))
    music.barlines = [muspy.Barline(time) for time in (0, 12, 60)]
    assert pictures.bar_lines(music, 14).tolist() == [0, 1, 5, 9, 13]
