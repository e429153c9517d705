"""Instruments and ensembles by the names that people use."""

from __future__ import annotations

import pytest

import mmt
from mmt.representation.codes import PAPER, Representation
from mmt.representation.ensembles import ENSEMBLES, find_instruments, merged, split_names
from mmt.representation.instruments import DRUMS, EVERYDAY_NAMES

WITH_DRUMS = Representation(drums=True)


@pytest.mark.parametrize("representation", [PAPER, WITH_DRUMS])
def test_every_ensemble_has_different_instruments_that_exist(representation: Representation) -> None:
    for name, parts in ENSEMBLES.items():
        codes = find_instruments(name, representation)
        assert len(set(codes)) == len(codes) > 1, name
        assert [representation.names[code - 1] for code in codes] == [
            part for part in parts if part != DRUMS or representation.drums
        ]


def test_a_prompt_for_an_ensemble_is_the_prompt_for_its_instruments() -> None:
    ensemble, listed = mmt.prompt.instruments("String Quartet"), mmt.prompt.instruments("violin", "viola", "cello")
    assert ensemble.tolist() == listed.tolist()
    with pytest.raises(ValueError, match="violin is named twice"):
        mmt.prompt.instruments("string quartet", "violin")


def test_common_names_are_known_and_never_hide_an_instrument() -> None:
    own = {name.replace("-", " ") for name in WITH_DRUMS.names}
    for name, meant in EVERYDAY_NAMES.items():
        assert WITH_DRUMS.names[WITH_DRUMS.find_instrument(name) - 1] == meant
        assert name not in own


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sax", "did you mean alto-saxophone"),
        ("saxx", "did you mean alto-saxophone"),
        ("choirs", "did you mean voices"),
        ("drums", "unknown instrument 'drums'"),
    ],
)
def test_the_likeliest_name_is_offered_first(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PAPER.find_instrument(name)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("violin,viola", ["violin", "viola"]),
        ("violin viola, string trio", ["violin", "viola", "string trio"]),
        ("french horn alto saxophone", ["french horn", "alto saxophone"]),
        ("voice and piano", ["voice and piano"]),
        ("guitar + flute", ["guitar + flute"]),
        ("40 41", ["40", "41"]),
        ("violin banana", ["violin banana"]),
        (" , ", []),
    ],
)
def test_names_are_split_at_commas_and_known_names_at_spaces(text: str, names: list[str]) -> None:
    assert split_names(text) == names


def test_an_instrument_that_is_named_repeatedly_is_one_part() -> None:
    assert merged(["violin", "Violin", "string trio"]) == (["violin", "viola", "cello"], ["violin"])
    assert merged(["guitar and flute"]) == (["nylon-string-guitar", "flute"], [])
