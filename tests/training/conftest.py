"""A corpus of short generated canons, from which a tiny network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mmt
from mmt.corpus.prepare import prepare
from mmt.representation.codes import NOTE
from mmt.representation.encode import canonical, frame


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve canons for two instruments, of 8 to 30 beats."""
    folder = tmp_path_factory.mktemp("canons")
    (folder / "music").mkdir()
    random = np.random.default_rng(0)
    for place in range(12):
        steps = random.permutation([0, 2, 4, 5, 7, 9])
        rows = [
            (NOTE, beat + 1, 1, 61 + int(steps[(beat - late) % 6]), 12, instrument)
            for beat in range(8 + 2 * place)
            for late, instrument in ((0, 25), (4, 27))
            if beat >= late
        ]
        music = mmt.decode(frame(canonical(np.array(rows, np.int64)), end=True))
        mmt.write(folder / "music" / f"{place}.mid", music)
    prepare([folder / "music"], folder / "corpus", shares={"valid": 0.25, "test": 0.0})
    return folder / "corpus"
