"""Fill a gap in a piece: write several candidates for it, and keep the one that the following notes fit best."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own custom)

from mmt.representation.arguments import whole
from mmt.representation.codes import BEAT, Events
from mmt.representation.origin import remember
from mmt.representation.prompt import Prompt
from mmt.sampling.editing.parts import END, MAX_NOTES_PER_BEAT, EditOptions, settings_of, split
from mmt.sampling.model import Model
from mmt.sampling.window import anchor

# How many beats after the gap are read to compare candidates.
_READ_BEATS = 8


def fill(
    model: Model,
    piece: npt.ArrayLike,
    from_beat: int,
    to_beat: int,
    *,
    candidates: int = 16,
    **options: Unpack[EditOptions],
) -> list[Events]:
    """Rewrite a range of beats; the beats before and after it stay.

    Several candidates continue the beats before the gap. The one is kept after which the next 8 beats are likeliest.

    Parameters
    ----------
    piece : array_like of int, (n, 6)
    from_beat, to_beat : int
        Beats from_beat … to_beat - 1 are rewritten (the first beat of the piece is 0).
    candidates : int
        The number of candidates for each piece. More candidates join better and take longer.
    **options
        See `mmt.sampling.editing.parts.EditOptions`.

    Raises
    ------
    ValueError
        If the beats are out of range.

    Examples
    --------
    >>> from mmt.sampling.model import new_model
    >>> model = new_model("tiny", seed=0)
    >>> head = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 25], [2, 0, 0, 0, 0, 0]]
    >>> piece = [*head, *([3, beat, 1, 60 + beat, 12, 25] for beat in range(1, 9))]
    >>> filled = fill(model, piece, 2, 4, seed=0, candidates=2)[0]
    >>> filled[:5].tolist() == piece[:5], filled[-5:-1].tolist() == piece[-4:]
    (True, True)
    """
    header, notes = split(model, piece)
    length = int(notes[-1, BEAT])
    from_beat, to_beat = whole("from_beat", from_beat), whole("to_beat", to_beat)
    if not 0 <= from_beat < to_beat <= length:
        raise ValueError(
            f"beats {from_beat} to {to_beat}: give 0 <= from_beat < to_beat <= {length}, the beats of the piece"
        )
    whole("candidates", candidates, least=1)
    before, after = notes[notes[:, BEAT] <= from_beat], notes[notes[:, BEAT] > to_beat]
    prompt = Prompt(np.concatenate([header, before]), first_beat=from_beat)
    most = len(prompt) + MAX_NOTES_PER_BEAT * (to_beat - from_beat)
    streams, *_ = settings_of(model, options)
    shared: dict[str, Any] = {name: value for name, value in options.items() if name not in ("n", "seed")}
    chosen = []
    for base, number in streams:
        seeds = np.random.SeedSequence((base, number)).generate_state(candidates).tolist()
        gaps = model.generate(prompt, seed=seeds, max_events=most, max_beats=to_beat, **shared)
        joined = [np.concatenate([gap[:-1], after]) for gap in gaps]
        scores = [following_likelihood(model, one, len(one) - len(after)) if len(after) else 0.0 for one in joined]
        chosen.append(joined[int(np.argmax(scores))])
    return [remember(np.concatenate([one, END]), model.representation) for one in chosen]


@torch.inference_mode()
def following_likelihood(model: Model, piece: Events, start: int) -> float:
    """Log-likelihood in nats of the first 8 beats of a piece from event `start` on, given all earlier events."""
    config = model.network.config
    stop = int(np.searchsorted(piece[start:, BEAT], piece[start, BEAT] + _READ_BEATS)) + start
    stop = min(stop, start + config.context // 4)
    window, counted = piece[:stop], stop - start
    if len(window) > config.context or window[-1, BEAT] > config.sizes[BEAT] - 1:
        window, _ = anchor(window, config.context, config.sizes[BEAT] - 1)
        counted = min(counted, len(window) - 1)
    codes = torch.from_numpy(np.array(window))[None].to(model.device)
    logits = model.network(codes)
    return -sum(
        float(F.cross_entropy(field[0, -counted - 1 : -1].float(), codes[0, -counted:, index], reduction="sum"))
        for index, field in enumerate(logits)
    )
