"""Rendering: length, level, pitch and spectra of the sound."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import muspy
import numpy as np
import pytest

import mmt.music
from mmt.music import audio
from mmt.music.audio import fluidsynth, synthesis

RATE = 44_100


def piece(*tracks, tempos=(), resolution=12):
    """Music from (program, notes) or (program, notes, is_drum); a note is (time, pitch, duration[, velocity])."""
    return muspy.Music(
        resolution=resolution,
        tempos=[muspy.Tempo(time, qpm) for time, qpm in tempos],
        tracks=[
            muspy.Track(program=program, is_drum=bool(drum), notes=[muspy.Note(*note) for note in notes])
            for program, notes, *drum in tracks
        ],
    )


def rms(sound):
    return float(np.sqrt(np.mean(np.square(sound))))


def spectrum(sound):
    """The magnitude spectrum of half a second, normalised."""
    power = np.abs(np.fft.rfft(sound[: RATE // 2].mean(axis=1)))
    return power / np.linalg.norm(power)


def test_the_peak_is_normalised():
    loud = piece(*((program, [(0, pitch, 24, 127) for pitch in range(40, 90, 4)]) for program in range(40, 60)))
    soft = piece((73, [(0, 72, 24, 1)]))
    for music in (loud, soft):
        sound = audio.render(music)
        assert sound.dtype == np.float32
        assert sound.shape[1] == 2
        assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-4)


def test_more_than_16_instruments_keep_their_own_sound():
    programs = [0, 6, 8, 11, 13, 19, 21, 24, 33, 40, 42, 46, 52, 56, 60, 65, 68, 70, 71, 73]
    apart = 48  # steps of 1/24 second: after two seconds the reverb is over
    mix = audio.render(piece(*((program, [(i * apart, 60, 18)]) for i, program in enumerate(programs))))
    solos = np.array([spectrum(audio.render(piece((program, [(0, 60, 18)])))) for program in programs])
    heard = np.array([spectrum(mix[i * 2 * RATE :]) for i in range(len(programs))])
    likeness = heard @ solos.T
    np.testing.assert_array_equal(likeness.argmax(axis=1), np.arange(len(programs)))
    assert np.diag(likeness).min() > 0.999


def play(music):
    """The sound of music without reverb."""
    return audio.play(audio.timed_notes(music), None, RATE, room=False)


def test_a_mix_is_the_sum_of_its_instruments():
    tracks = [(program, [(0, 40 + program // 3, 24)]) for program in range(0, 112, 5)]
    np.testing.assert_allclose(play(piece(*tracks)), sum(play(piece(track)) for track in tracks), atol=1e-5)


@pytest.mark.parametrize(
    ("tempos", "seconds"),
    [
        ((), 4.0),
        ([(0, 60)], 8.0),
        ([(0, 60), (48, 240)], 4 + 1.0),
        ([(48, 240)], 2 + 1.0),
        ([(0, 0), (48, 240)], 2 + 1.0),
    ],
    ids=["none: 120", "60", "60 then 240", "120 until a late mark", "a tempo of 0 is none"],
)
def test_sound_is_as_long_as_the_music(tempos, seconds):
    music = piece((40, [(0, 60, 12), (84, 62, 12)]), tempos=tempos)
    assert audio.length_in_seconds(music) == pytest.approx(seconds)
    sound = audio.render(music)
    assert seconds <= len(sound) / RATE <= seconds + 2
    last = sound[int((seconds - 0.1) * RATE) : int(seconds * RATE)]
    assert rms(last) > 0.02
    assert rms(sound[-RATE // 10 :]) < 0.005


def test_loudness_follows_the_velocity():
    sound = audio.render(piece((40, [(0, 60, 12, 100), (72, 60, 12, 50)])))
    loud, soft = sound[: RATE // 2], sound[3 * RATE : 3 * RATE + RATE // 2]
    assert rms(soft) / rms(loud) == pytest.approx((50 / 100) ** 2, rel=0.15)


def test_a_note_is_released_gradually():
    sound = play(piece((19, [(0, 60, 24), (96, 60, 1)])))
    step = int(0.04 * RATE)
    levels = [rms(sound[RATE + i * step : RATE + (i + 1) * step]) for i in range(-1, 5)]
    assert levels[-1] < 0.06 * levels[0]
    for louder, softer in pairwise(levels):
        assert 0.3 < softer / louder < 0.95 or softer < 0.1 * levels[0]


def test_short_drum_notes_are_lengthened():
    sound = audio.render(piece((0, [(0, 49, 1)], True), resolution=480))
    assert rms(sound[int(0.15 * RATE) : int(0.2 * RATE)]) > 0.05


def test_reverb_does_not_depend_on_the_block_size():
    sound = play(piece((40, [(6 * i, 60 + i % 12, 9) for i in range(40)]), (73, [(0, 84, 200)])))
    whole = synthesis.with_reverb(sound, RATE)
    assert rms(whole - sound) > 0.1 * rms(sound)
    np.testing.assert_allclose(synthesis.with_reverb(sound, RATE, block=1.5), whole, atol=1e-5)


@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("pitch", [69, 93, 98])
def test_every_rate_is_in_tune(pitch, sample_rate):
    sound = audio.render(piece((73, [(0, pitch, 48)])), sample_rate=sample_rate)[: 2 * sample_rate, 0]
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    frequency = np.argmax(power) * sample_rate / len(sound)
    assert frequency == pytest.approx(440 * 2 ** ((pitch - 69) / 12), rel=0.01)


def pitch_of(sound, rate=RATE):
    """The pitch by the highest peak of the autocorrelation."""
    wave_form = sound[rate // 4 : rate // 4 + rate].mean(axis=1)
    size = 1 << 18
    likeness = np.fft.irfft(np.abs(np.fft.rfft(wave_form - wave_form.mean(), size)) ** 2)[: rate // 40]
    falls = np.flatnonzero(likeness < 0)[0]
    # The first of the multiples of the period, whose peaks are nearly as high.
    best = falls + np.flatnonzero(likeness[falls:] > 0.9 * likeness[falls:].max())[0]
    while likeness[best + 1] > likeness[best]:
        best += 1
    return 69 + 12 * np.log2(rate / best / 440)


@pytest.mark.parametrize("program", [0, 6, 19, 24, 32, 40, 41, 42, 43, 46, 52, 56, 58, 60, 68, 70, 71, 73])
def test_every_instrument_is_in_tune(program):
    for pitch in (48, 60, 67):
        notes = audio.timed_notes(piece((program, [(0, pitch, 48)])))
        heard = pitch_of(audio.play(notes, None, RATE, room=False))
        # SoundFonts have some instruments in another octave.
        assert abs((heard - pitch + 6) % 12 - 6) < 0.4, (pitch, heard)


def test_every_program_sounds_over_its_range():
    for program in range(129):
        notes = [(24 * i, pitch, 12) for i, pitch in enumerate((36, 60, 84))]
        timed = audio.timed_notes(piece((program % 128, notes, program == 128)))
        sound = audio.play(timed, None, 8_000, room=False)
        assert np.isfinite(sound).all(), program
        assert 0.001 < np.abs(sound).max() < 4, program


@pytest.mark.skipif(fluidsynth.command() is None, reason="needs FluidSynth (the command fluidsynth)")
def test_levels_and_spectra_match_fluidsynth():
    """Relative levels of instruments, and their spectra, at keys without modulation."""
    differences = []
    for program, pitch in (
        (0, 45),
        (0, 60),
        (0, 81),
        (19, 57),
        (41, 45),
        (42, 45),
        (42, 76),
        (46, 45),
        (56, 69),
        (73, 76),
    ):
        notes = audio.timed_notes(piece((program, [(0, pitch, 48, 100)])))
        ours = audio.play(notes, None, RATE, room=False)
        theirs = fluidsynth.render_by_fluidsynth(notes, audio.carried_soundfont(), RATE, room=False)
        differences.append(20 * np.log10(rms(ours) / rms(theirs)))
        mine, other = (np.abs(np.fft.rfft(sound[4_000:70_000].mean(axis=1))) for sound in (ours, theirs))
        assert mine @ other > (0.8 if program == 42 else 0.95) * np.linalg.norm(mine) * np.linalg.norm(other), (
            program,
            pitch,
        )
    assert np.ptp(differences) < 1.5


@pytest.mark.skipif(fluidsynth.command() is None, reason="needs FluidSynth (the command fluidsynth)")
def test_a_users_soundfont_is_played_by_fluidsynth(tmp_path, monkeypatch):
    music = piece((40, [(0, 60, 24)]), (0, [(0, 36, 6)], True))
    sound = audio.render(music, soundfont=audio.carried_soundfont())
    assert 1 <= len(sound) / RATE <= 3
    assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-4)
    assert not np.array_equal(sound[:1000], audio.render(music)[:1000])
    mmt.music.write(tmp_path / "a.wav", music, soundfont=audio.carried_soundfont())
    with wave.open(str(tmp_path / "a.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(samples / 32767, sound, atol=2e-5)


def test_sound_that_was_cut_off_is_an_error_and_not_silence(tmp_path, monkeypatch):
    # As on a full disk: FluidSynth reports nothing.
    script = 'while [ "$1" != -F ]; do shift; done; head -c 80000 /dev/zero > "$2"'
    (tmp_path / "fluidsynth").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "fluidsynth").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    music = piece((40, [(0, 60, 48)]))
    with pytest.raises(OSError, match=r"cannot write .*a\.wav: FluidSynth wrote 0\.2 of 2\.0 s"):
        mmt.music.write(tmp_path / "a.wav", music, soundfont=audio.carried_soundfont())
    assert [path.name for path in tmp_path.iterdir()] == ["fluidsynth"]


def test_errors_and_timeouts_of_fluidsynth_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fluidsynth, "GRACE", -0.5)
    for script, message in (("sleep 30", "did not end within"), ("echo error: no >&2", "error: no")):
        (tmp_path / "fluidsynth").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "fluidsynth").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        with pytest.raises(ValueError, match=message) as caught:
            audio.render(piece((40, [(0, 60, 48)])), soundfont=audio.carried_soundfont())
        assert "\n" not in str(caught.value)


def test_a_users_soundfont_is_played_without_fluidsynth(monkeypatch):
    monkeypatch.setenv("PATH", "")
    music = piece((40, [(0, 60, 24)]))
    np.testing.assert_array_equal(audio.render(music, soundfont=audio.carried_soundfont()), audio.render(music))


def test_a_note_of_minutes_is_sustained():
    music = piece((19, [(0, 48, 12 * 60 * 5)]), tempos=[(0, 120)])
    sound = audio.render(music, sample_rate=8_000)
    assert 150 <= len(sound) / 8_000 <= 152
    levels = [rms(sound[8_000 * second : 8_000 * (second + 10)]) for second in range(0, 150, 10)]
    assert min(levels) > 0.5 * max(levels)


def test_a_missing_drum_kit_is_replaced_by_the_first():
    known, unknown = (audio.render(piece((program, [(0, 38, 6)], True))) for program in (0, 99))
    np.testing.assert_array_equal(unknown, known)


def test_seconds_limits_the_sound_to_the_beginning():
    music = piece((40, [(12 * i, 60 + i % 5, 12) for i in range(200)]))
    sound, whole = audio.render(music, seconds=3), audio.render(music)
    assert 3 <= len(sound) / RATE <= 5
    scale = rms(sound[: 3 * RATE]) / rms(whole[: 3 * RATE])
    np.testing.assert_allclose(sound[: 3 * RATE - 100], scale * whole[: 3 * RATE - 100], atol=1e-3)
    with pytest.raises(ValueError, match="seconds is 0; it must be more than 0"):
        audio.render(music, seconds=0)


@pytest.mark.parametrize(
    ("music", "message"),
    [
        (piece(), "no audible notes"),
        (piece((40, [(0, 60, 12, 0)])), "no audible notes"),
        (piece((40, [(0, 60, 12), (12 * 500_000, 60, 12)])), r"lasts 4,167 minutes, but at most 60 .* encode"),
        (piece((40, [(0, 127, 12)])), "TimGM6mb.sf2 has no sound for this music"),
    ],
    ids=["empty", "velocity 0", "far away", "too high for the SoundFont"],
)
def test_music_without_sound_is_refused_in_one_line(music, message):
    with pytest.raises(ValueError, match=message) as caught:
        audio.render(music)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sample_rate", [0, 7_999, 96_001])
def test_a_wrong_sample_rate_is_refused(sample_rate):
    with pytest.raises(ValueError, match="8000 to 96000"):
        audio.render(piece((40, [(0, 60, 12)])), sample_rate=sample_rate)


def test_a_missing_soundfont_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no SoundFont .*missing\.sf2"):
        audio.render(piece((40, [(0, 60, 12)])), soundfont=tmp_path / "missing.sf2")


@pytest.mark.parametrize("kept", [0, 12, 100, 3_000_000])
def test_a_damaged_soundfont_is_refused(tmp_path, kept):
    damaged = tmp_path / "damaged.sf2"
    damaged.write_bytes(audio.carried_soundfont().read_bytes()[:kept])
    with pytest.raises(ValueError, match="is not a SoundFont that can be read") as caught:
        audio.render(piece((40, [(0, 60, 12)])), soundfont=damaged)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_a_soundfont_with_wrong_numbers_is_refused_or_played(tmp_path, seed):
    """No crash, no endless loop, no NaN."""
    random = np.random.default_rng(seed)
    font = bytearray(audio.carried_soundfont().read_bytes())
    name = (b"igen", b"pgen", b"shdr")[seed % 3]
    first = font.index(name, font.index(b"pdta")) + 8
    size = int.from_bytes(font[first - 4 : first], "little")
    for place in random.integers(0, size, max(size // 2000, 3)):
        if name != b"shdr" or place % 46 < 44:  # except for the flag of compression
            font[first + place] = random.integers(256)
    (tmp_path / "wrong.sf2").write_bytes(font)
    notes = audio.timed_notes(piece(*((program, [(0, 60, 12), (12, 90, 12)]) for program in (0, 40, 73, 46))))
    refusal, sound = "", np.zeros(0)
    try:
        sound = synthesis.render_notes(notes, tmp_path / "wrong.sf2", 22_050)
    except ValueError as error:
        refusal = str(error)
    assert np.isfinite(sound).all()
    assert not refusal or "is not a SoundFont that can be read" in refusal


def test_a_compressed_soundfont_needs_fluidsynth(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    font = bytearray(audio.carried_soundfont().read_bytes())
    font[font.index(b"shdr", font.index(b"pdta")) + 8 + 44] |= 0x10
    (tmp_path / "small.sf3").write_bytes(font)
    with pytest.raises(ValueError, match="which needs FluidSynth"):
        audio.render(piece((40, [(0, 60, 12)])), soundfont=tmp_path / "small.sf3")


def test_a_wav_file_holds_the_rendered_sound(tmp_path):
    music = piece((40, [(0, 60, 24)]))
    audio.write_wav(tmp_path / "a.wav", music)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(samples / 32767, audio.render(music), atol=2e-5)


@pytest.mark.parametrize("name", ["*e4m4*", "*BWV.232_20*", "*1762*"], ids=["drums", "Bach", "orchestra"])
def test_real_pieces_render_at_their_length(shared: Path, name):
    (path,) = (shared / "data/examples/mid").glob(name)
    music = mmt.music.read(path)
    sound = audio.render(music)
    length = audio.length_in_seconds(music)
    assert length <= len(sound) / RATE <= length + 2
    assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-4)
    assert rms(sound) > 0.05
    assert abs(sound.mean()) < 0.01


def test_an_event_half_a_million_beats_away_is_refused(shared: Path):
    music = mmt.music.read(shared / "data/nasty/files/synth_huge_delta.mid")
    if audio.length_in_seconds(music) > audio.rendering.LONGEST:
        with pytest.raises(ValueError, match="minutes"):
            audio.render(music)
    else:
        assert len(audio.render(music)) <= (audio.length_in_seconds(music) + 2) * RATE


def test_each_drum_of_events_has_its_own_sound():
    representation = mmt.Representation(drums=True)
    beat = [[3, 1 + 2 * place, 1, 1 + key, 6, representation.drums_code] for place, key in enumerate((36, 38, 42))]
    sound = audio.render(mmt.decode(np.array(beat), representation=representation))
    hits = [sound[int(place * 1.2 * RATE) :][: RATE // 2] for place in range(3)]
    assert min(rms(hit) for hit in hits) > 0.005
    # A bass drum is low, a closed hi-hat high, a snare between.
    middles = [float((np.fft.rfftfreq(RATE // 2, 1 / RATE) * spectrum(hit) ** 2).sum()) for hit in hits]
    assert 50 < middles[0] < 200 < middles[1] < 2_000 < middles[2]
    piano = audio.render(piece((0, [(0, 36, 6)])))
    assert spectrum(hits[0]) @ spectrum(piano)[: len(spectrum(hits[0]))] < 0.9
