"""Malicious ABC is read or refused in one line, in bounded time and memory, without access to other files."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from abc_tunes import read

import mmt

HEAD = "X:1\nL:1/4\nK:C\n"
MANY = 50_000

# In a process of its own, which ends if it takes 5 seconds of processor time for one file; memory is in kB.
READ_ALL = """
import resource, sys, warnings
import mmt, muspy
warnings.simplefilter("ignore")
for path in sys.argv[1:]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 5, resource.RLIM_INFINITY))
    try:
        mmt.encode(mmt.read(path))
    except ValueError as error:
        assert "\\n" not in str(error), path
    # Not ru_maxrss, which a process inherits from its parent.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()
    assert int(peak[1]) < 2**20, path
    print(path)
"""

TUNES = {
    "brackets": HEAD + "[" * MANY,
    "braces": HEAD + "{" * MANY,
    "quotation marks": HEAD + '"' * MANY,
    "exclamation marks": HEAD + "!a" * MANY,
    "old chords": HEAD + ("+" + "C11111 " * 12) * (MANY // 80),
    "slashes": HEAD + "C" + "/" * MANY,
    "digits": HEAD + "C" + "9" * MANY,
    "octave marks": HEAD + "C" + "," * MANY,
    "overlays": HEAD + "C|" * 1000 + "&" * MANY + "C&" * 20_000,
    "bars": HEAD + "|" * MANY + ":" * MANY,
    "repeats": HEAD + "|:C:|" * 60_000,
    "many passes": HEAD + (":" * 15 + "|C|" + ":" * 15) * 900,
    "endings": HEAD + "|:C|1,2,3C:|4C:|" * 600,
    "jumps": HEAD + "SC|C!D.S.!|" * 900,
    "codas": HEAD + "|:SC|C!D.S.!:|!coda!C!fine!|" * 400,
    "long parts": f"X:1\nP:{'A' * 1000}\nL:1/4\nK:C\nP:A\n{'C' * 60_000}",
    "nested parts": "X:1\nP:((((((A99)9)9)9)9)9\nL:1/4\nK:C\nP:A\nC|",
    "brackets of parts": f"X:1\nP:{'(' * MANY}\nK:C\nC|",
    "parts with repeats": f"X:1\nP:{'A' * 1000}\nL:1/4\nK:C\nP:A\n{'|:C:|' * 900}",
    "parts with ties": f"X:1\nP:{'A' * 1000}\nL:1/4\nK:C\nP:A\n{'C-' * 60_000}",
    "parts with tempos": f"X:1\nP:{'A' * 1000}\nL:1/4\nK:C\nP:A\n{'[Q:60]C[Q:61]z' * 10_000}",
    "parts with rests": f"X:1\nP:{'A' * 1000}\nM:1/999\nL:1/4\nK:C\nP:A\nCZ90000|C",
    "voices": HEAD + "".join(f"V:{number}\nC|\n" for number in range(5_000)),
    "fields": HEAD + "[K:G]" * MANY,
    "spaces": f"X:1\nM:1{' ' * MANY}\nK:{' ' * MANY}\nC",
    "meter": f"X:1\nM:{'1+' * MANY}\nK:C\nC",
    "long rests": "X:1\nM:1/999\nK:C\n" + "Z99999" * 10,
    "zeros": "X:1\nQ:0/0=1\nM:0/0\nL:0/0\nK:C\nC0 D/0 (0CE (3:0:0CDE",
    "graces": HEAD + "{" + "c" * 90_000 + "}C/9999",
    "primes": HEAD + "".join(f"C/{number}" for number in range(3, 30_000, 2)),
    "ties": HEAD + "[" + "C-" * 40_000 + "]" * 2 + "C-" * 40_000,
    "too many notes": HEAD + "C" * 150_000,
    "heads": "N:x\n" * 15_000 + "X:1\nK:C\nC\n" * 2000,
    "tunes": "X:\n" * 250_000,
    "empty lines": HEAD + "\n" * MANY + "C\n\n" + "|\n" * MANY,
    "transposition": "X:1\nK:C octave=999 transpose=-999\nC",
    "other digits": "X:1\nL:\u0661/\u0664\nK:C\nC\u0661 V:\u00b2 (\u0663CDE|\u0661",
    "macros": "X:1\n" + "".join(f"m: {'n' * 28}{a} = {'n' * 200}\n" for a in range(200)) + "K:C\n" + "n" * 900_000,
    "macros of macros": f"X:1\nm: C = {'C' * 200}\nK:C\n" + "C" * MANY,
    "macros between notes": HEAD + "".join(f"m: {a} = C\nC\n" for a in range(60_000)),
    "brackets of fields": "X:1\nm: C = D\nK:C\n" + "[K:" * MANY,
    "null bytes": HEAD + "\0" * MANY + "C",
    "native_1": "X:\nK:C\n:|z99999999ef|",
    "native_2": "X:1\nP:((((((A99)9)9)9)9",
    "never ends": "X:1\nM:C|\nP:AABB\nK:Am\n[CEG]99999999/0\n" + "|:" * 40 + "\nabc|",
}


def _files(folder: Path) -> list[Path]:
    generator = random.Random(5)
    alphabet = "ABCdefgz|:[]{}()\"!+&-<>/123,'^_= \n~SV%.KM"
    noise = {f"noise {n}": HEAD + "".join(generator.choices(alphabet, k=20_000)) for n in range(10)}
    paths = []
    for name, text in (TUNES | noise).items():
        paths.append(folder / f"{name}.abc")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def test_hostile_tunes_take_bounded_time_and_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", READ_ALL, *map(str, _files(tmp_path))], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stdout[-200:], done.stderr)


def test_hostile_tunes_of_a_corpus_are_counted(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    for name in ("nested parts", "native_1", "native_2", "never ends", "repeats"):
        (tmp_path / "music" / f"{name}.abc").write_text(TUNES[name], encoding="utf-8")
    (tmp_path / "music" / "good.abc").write_text(HEAD + "CDEF|\n", encoding="utf-8")
    outcome = mmt.prepare(tmp_path / "music", tmp_path / "corpus")
    assert outcome.kept == 1
    assert sum(outcome.reasons.values()) == 5


@pytest.mark.parametrize(
    "directive", ["%%abc-include", "%%include", "I:abc-include", "%%format", "%%postscript-include"]
)
def test_no_other_file_is_read(tmp_path: Path, directive: str) -> None:
    (tmp_path / "other.abc").write_text("GABc|\n")
    for other in (tmp_path / "other.abc", "/etc/passwd", "/dev/zero"):
        music = read(tmp_path, f"{HEAD}CDEF|\n{directive} {other}\n[I:abc-include {other}]\n")
        assert [note.pitch for note in music.tracks[0].notes] == [60, 62, 64, 65]


def test_no_process_is_started_and_no_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tune.abc").write_text(HEAD + "CDEF|\n")
    mmt.read(tmp_path / "tune.abc")  # imports of modules that are already loaded
    audited: list[str] = []
    sys.addaudithook(lambda event, details: audited.append(event) if watching else None)
    watching = True
    mmt.read(tmp_path / "tune.abc")
    watching = False
    assert not {
        event for event in audited if event.startswith(("subprocess", "os.", "shutil", "tempfile", "socket", "ctypes"))
    }
    assert audited.count("open") <= 1


def test_hostile_files_of_the_collection_are_read_or_refused(shared: Path) -> None:
    folder = shared / "cases" / "files"
    music = mmt.read(folder / "include_passwd.abc")
    assert [note.pitch for note in music.tracks[0].notes] == [60, 62, 64, 65]
    others = sorted({*folder.glob("*.abc")} - {folder / "include_passwd.abc"})
    assert len(others) == 4
    for path in others:
        with pytest.raises(ValueError, match=r"^cannot read [^\n]*: this is not ABC \([^\n]*\)$"):
            mmt.read(path)
