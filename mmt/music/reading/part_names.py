"""The MIDI program of a part in a score, by its program, names and sounds.

Scores have a program, a standard sound name ("wind.reed.oboe") and printed names ("Oboe 1", "Hautbois"), any of which may be
missing or wrong. The program in the file counts, with two exceptions: a part that is sung is a voice (some software
exports voices as an oboe or a clarinet), and the piano, which software writes for unknown instruments, is replaced by
another instrument that a name states. Without a program, the names count: the words below, then music21's table of names.
"""

# ruff: noqa: RUF001 (Cyrillic letters that look like Latin ones)

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from mmt.representation.instruments import GENERAL_MIDI_NAMES

CHOIR = 52
_PIANO = 0
_PIANOS = range(6)
_VOICES = (52, 53, 54)
_WRITTEN_FOR_VOICES = (0, 68, 71)  # piano, oboe, clarinet: what software writes for voices

# Programs and the words for them in several languages, without accents; the first match counts. A compound names its instrument
# last in some languages, first in others (bass clarinet, sax tenor): instruments come before the registers that they have.
_WORDS = r"""
64 sopran.*sax|sax.*sopran|\bs\.? ?sax
66 tenor.*sax|sax.*tenor|\bt\.? ?sax
67 (bar[iy]ton|\bbass?).*sax|sax.*(bar[iy]ton|\bbass)|\bb(ar)?\.? ?sax
65 sax(?!h)|saks|саксофон|サックス|萨克斯|薩克斯
74 recorder|blok?c?k?fl|blokfl|schnabelfl|beckfl
74 fl\w+ (a bec|douce|droite|doce|dolce|dulce|recta|de pico|a becco|diritto|dritto)
75 \bpan ?-?(fl|pipe)|fl\w+ (de|di) pan|zampona|siringa|syrinx
72 ottavino|flauti[nm]\b|petite flute|kleine flot|o[ck]ta\w* ?fl|pickelfl|pi[ck]+olo\W*fl|fl\w*\W*pi[ck]+olo
72 pi[ck]+ol?fl
77 shakuhachi
76 bottle|\bjug\b
79 ocarina|okarina
78 whistle|flageolet|pfeifen?\b|pfeife\b|fischio|siffle|silbat
73 fl[ou]t|flaut|\bflet|fleit|fluit|fl[ou][jy]t|huilu|fuvola|\bfl\b|флеит|フルート|长笛|長笛|플루트
69 eng.*\bho?r?n\b|englisch-?horn|engels.*ho|\bcor\w* ingl|\bcors? ang|althobo|roz\w+ ang|англииск
69 イングリッシュホルン|\be\.? ?h\.?$
68 \bobo[aeijy]|hautb|hoboe|\bhobo|krumm?horn|crumhorn|cromorne|shawm|schalmei|гобои|オーボエ|双簧管|雙簧管|오보에
68 \bob\b
70 fagot|bassoon|\bbassons?\b|contrebasson|dul[cz]ian|фагот|ファゴット|巴松|大管|바순|\bfa?g\b|\bbsn\b
71 [ck]larinet|klarnet|basset|chalumeau|кларнет|クラリネット|单簧管|單簧管|클라리넷|\bcl\b
14 tubular|chimes|rohrenglo|campane\b|campanas|cloches|church bells|rorklok
57 trombon|\btrombo|posaun|sack?but|puzon|basun|pozoun|pasuuna|harsona|тромбон|トロンボーン|长号|長號|트롬본
57 \btbn\b|\btrb\b
58 bar[iy]ton\w*\W*(horn|\(?[tb]\.? ?c\b)|\btub[ae]\b|\btubas|tuben|basstub|tubor|ophicl|oficl|serpent|euphon|eufon|sousaph|susaf
58 bombardin|bombardon|helicon|туба|チューバ|大号|大號|튜바
56 trump|trompet|\btromb[ae]\b|\btrp\b|\btpt\b|\bcornets?\b|\bcornett|\bkornett?|\bzink|\bclarin[oi]?\b|flugelh
56 fliscorn|fiscorn
56 bugle|trabk|trubk|trumbit|trombit|труб|корнет|トランペット|小号|小號|트럼펫
22 \bharmonica|\barmonica|mundharm|melodica|melodion|mouth organ|munspel
60 horn|hoorn|\bhorns|\bcorn[oie]s?\b|\bcors?\b|trompas?\b|trompes?\b|валторн|ホルン|圆号|圓號|호른|\bhn\b
60 waltorni|rog\b|torvi
62 synth\w* ?brass
61 \bbrass|cuivres|blechbl|ottoni|metales\b|metais|brassen|messingbl
109 bagpipe|dudelsack|cornemus|cornamus|\bgaita|zampogna|\bdud[ay]|sackpip|волынк
104 sitar
106 shamisen
107 \bkoto\b
108 kalimba|mbira|sansa|sanza|thumb piano
111 shan+ai|shehnai
105 banjo
114 steel ?-?(drum|pan)|steelpan
115 wood ?-?block
116 taiko
113 agogo
42 gamb[aey]|\bviols?\b|baryton\b.*strings|arpeggione
42 violoncel|\bv\.?cell|violon[ck]h?el|\bcell[oei]s?\b|\bcelo\b|\bchelos?\b|wiolon?cz|violoncz|виолончел|チェロ
42 大提琴|첼로|\bvc\b|\bvlc\b|\bvcl?\b
36 slap bass
43 violone|contra-?bas|contrab|kontra-?bas|contreb|kontrab|double ?-?bass|string bass|basvio|контрабас
43 コントラバス|低音提琴|콘트라베이스|\bcb\b|\bd\.?b\b
41 \bviol[ae]s?\b|violet|bratsc?[hj]|altgeige|altviool|altvioo|altowk|altfiol|alttoviu|\baltos\b|\bальт|ヴィオラ
41 中提琴|비올라|\bvla\b|\bva\b
40 violin|nyckelharp|violon|geige|\bviool|violen\b|skrzyp|housl|husle|hegedu|\bfiol|fiolin|viulu|vioara|keman
40 fiddle|скрипк
40 ヴァイオリン|バイオリン|小提琴|바이올린|\bvln?s?\b|\bvni?\b
34 picked bass
35 fretless
38 synth\w* ?bass
33 bass?\w*\W?gu?it|(bass\w*|bajo|baixo) ele[ckt]|(\bele[ckt]\w*|\be-?)\W?bass?
32 (acoustic|upright|akustik\w*)-? ?bass|(bass\w*|bajo|baixo) ac\w*ust
26 jazz ?guitar
30 distort
29 overdriv
27 (\bele[ckt]\w*|\be-?|\bstrom)\W?(gu?it|gtr)|(gu?it\w*|chitarr\w*) ele[ckt]
25 mandol|bouzouki|balalai|(steel|folk|western)\W*gu?it
24 gu?itar|violao|cavaquin|chitarr|kitar|гитар|ギター|吉他|기타|\bgtr\b|\blut[eh]s?\b|\blaute|\bluit\b|\blaud\b
24 teorba|theorb|tiorba|\bliuto|vihuela|ukulel|ukelel|cittern
46 harfe|\bharps?\b|\bhp\b|\barp[ae]s?\b|\bharp[ae]\b|harf[ay]|\barfa|арфа|ハープ|竖琴|豎琴|하프
6 harpsi|cembal|clavec|clavicemb|clavicim|klavecimb|klavesin|klawesyn|spinet|virginal|\bclave\b|\bcravo\b|чембало
6 клавесин|チェンバロ|大键琴
7 clavichord|clavicord|klavichord|clavinet
8 celest|czelest|челест|チェレスタ
9 glocken ?sp|campanell|carillon|klockspel|klokkespil|колокольчик|jeu de timbres|グロッケン
10 music ?box|spieluhr|spieldose
11 vibra?ph|vibraf|\bvibes\b|vibraharp
12 marimb
13 xylo|xilo|ksylo|silofo|ксилофон
15 dulcimer|hackbrett|salterio|santur|cimbalom|cymbalom|cymbaly|tympanon|psalter|zither
47 timpan|pauk|\btimbal(es?|l\w*)?\b|kettle ?dr|tympan|\bkotly|kociol|литавр|ティンパニ|定音鼓|팀파니|\btimp\b|\bpk\b
20 harmonium|reed organ|armonium|fisharm
16 hammond|drawbar|(\bele[ckt]\w*|\be-?)\W?org|org\w* ele[ckt]
18 rock organ
17 percussive organ
23 bandoneon
21 ac+ord[ie]on|ac+ordeon|akkord[ei]o|akordeo|acordeao|acordeo|fisarm|dragspel|trekkspill|ziehharm|handharm
21 concertina|баян|аккордеон|アコーディオン|手风琴
19 \borgan|\borgel|\borgue|\borgao|varhan|urut|орган|オルガン|管风琴|管風琴|오르간|continuo
3 honky
5 \bdx7?\b
4 rhodes|wurlitzer|(\bele[ckt]\w*|\be-?)\W?piano|piano ele[ckt]
0 piano|pianino|klavier|klavir|clavier|keyboard|teclad|tastier|fortep|\bflugel\b|рояль|фортеп|ピアノ|钢琴|鋼琴
0 피아노|\bpno\b|\bpf\b
49 slow strings
50 synth\w* ?str
54 synth\w* ?(vo|choir)
45 pizz
48 \bstring|streich|\barchi\b|cordes\b|cuerdas|\bcordas|strakar|strykere|smyczk|струнн|弦楽|弦乐|弦樂
88 \bpad\b|new age
80 synth\w*\W*lead|lead\W*synth|\blead \d|square lead|\bsynth|synthes|シンセ|合成器
72 pi[ck]+ol
"""
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "œ": "oe", "æ": "ae", "đ": "d", "♭": "b", "’": "'"})


def _without_accents(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


_PROGRAMS = tuple(
    (re.compile(words), int(program))
    for program, words in (line.split(" ", 1) for line in _without_accents(_WORDS).strip().splitlines())
)
_SHORTEST = 4  # letters; shorter names are abbreviations of many things
_BASS = re.compile(r"\bbass[oei]?\b(?!.*(drum|trommel))")  # a double bass unless it is sung
_DOUBLE_BASS = 43

_SINGING = re.compile(
    r"\b(voices?|vocals?|vocalist|voix|voc[ei]|vo[zc]e?s?|(sing)?stimmen?|gesang|cant[oi]|chant|chanteu[rs]e?|soprano?s?|soprani|"
    r"mezzo|choirs?|chore?|chorus|cor[oi]|choeurs?|cantus|singers?|zang|sang|голос|хор|сопрано|ボーカル|合唱)\b"
)
# Registers of voices and of instruments: they are sung if the part has lyrics.
_REGISTERS = re.compile(r"\b(alt|alto|altus|contralto|tenor\w*|bar[iy]ton\w*|bass|basso|bassus|basse|treble)\b")
# A part name that is a register only.
_REGISTER = re.compile(
    r"(soprano?|alt[ou]?s?|contralto|t[eé]nor[ei]?|bass[eo]?)\.? ?(?:\d|i{1,3}|iv)?\.?", re.IGNORECASE
)


def program_of(sound: str, instrument: str, part: str, midi_program: int | None, sung: bool) -> int:
    """The MIDI program (0 to 127) of a part.

    Its standard sound name, and the names of its instrument and of itself are empty if they are missing; `midi_program` is the
    program in the score, from 0, or None. A part is `sung` if it has lyrics.

    >>> program_of("", "Voice", "Singstimme", 68, sung=True), program_of("", "", "Violine II", None, sung=False)
    (52, 40)
    """
    if midi_program is not None and instrument == GENERAL_MIDI_NAMES[midi_program] and not sung:
        return midi_program
    if _is_voice(sound.lower(), instrument, part, midi_program, sung):
        return midi_program if midi_program in _VOICES else CHOIR
    if midi_program == _PIANO and not sound.lower().startswith("keyboard") and "piano" not in _plain(part):
        # The part's name first: software calls unknown instruments a piano.
        others = (_instrument_word(_plain(name)) for name in (part, instrument))
        other = next((program for program in others if program is not None), _PIANO)
        return _PIANO if other in _PIANOS else other
    if midi_program is not None:
        return midi_program
    named = (_named(name) for name in (instrument, part, sound.replace(".", " ").replace("-", " ")))
    return next((program for program in named if program is not None), CHOIR if sung else _PIANO)


def may_sing(instrument: str, sound: str, midi_program: int | None) -> bool:
    """Whether a part of a choir is sung, by its instrument's name, its standard sound and its program (none or a piano).

    >>> may_sing("Instrument 1", "", 0), may_sing("Recorder", "", None)
    (True, False)
    """
    return midi_program in (None, _PIANO) and not sound and _instrument_word(_plain(instrument)) in (None, _PIANO)


def is_pitched(*names: str) -> bool:
    """Whether one of several names is that of an instrument with a pitch.

    >>> is_pitched("Timpani"), is_pitched("Drumset", "Percussion")
    (True, False)
    """
    return any(_named(name) is not None for name in names)


def choir_parts(names: Iterable[str]) -> list[bool]:
    """Which parts of a score belong to a choir: those named by a register, if there are two registers or more.

    >>> choir_parts(["Soprano", "Alto", "Tenor", "Bass", "Organ"]), choir_parts(["Alto Sax", "Bass"])
    ([True, True, True, True, False], [False, False])
    """
    found = [_REGISTER.fullmatch(name.strip()) for name in names]
    several = len({match[1][0].lower() for match in found if match}) > 1
    return [several and match is not None for match in found]


def _is_voice(sound: str, instrument: str, part: str, midi_program: int | None, sung: bool) -> bool:
    if sung:
        both = _plain(f"{instrument} {part}")
        if (_SINGING.search(both) or _REGISTERS.search(both)) and _instrument_word(_plain(part)) is None:
            return True
    if sound:
        return sound.split(".")[0] == "voice"
    name = _plain(instrument or part)
    is_open = midi_program is None or midi_program in _WRITTEN_FOR_VOICES
    return is_open and bool(_SINGING.search(name)) and _instrument_word(name) is None


@lru_cache(maxsize=1000)
def _named(name: str) -> int | None:
    """The program of a name; None if it is unknown."""
    plain = _plain(name)
    program = _instrument_word(plain)
    if program is None and _BASS.search(plain) and not _SINGING.search(plain):
        program = _DOUBLE_BASS
    return _in_music21(plain) if program is None else program


@lru_cache(maxsize=1000)
def _instrument_word(plain: str) -> int | None:
    return next((program for words, program in _PROGRAMS if words.search(plain)), None)


def _in_music21(plain: str) -> int | None:
    """The program of a whole name in music21's table (BSD licence); None if it has none. Its voices have program 53."""
    from music21 import instrument
    from music21.languageExcerpts.instrumentLookup import allToClassName

    name = plain.rstrip("0123456789iv. ")
    if len(name) < _SHORTEST or name not in allToClassName:
        return None
    program: int | None = getattr(instrument, allToClassName[name])().midiProgram
    return CHOIR if program in _VOICES else program


def _plain(text: str) -> str:
    """A name of at most 100 characters in lower case without accents."""
    return " ".join(_without_accents(text[:100].casefold()).split())
