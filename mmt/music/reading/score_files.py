"""The root element of a MusicXML file: plain or in an archive, in any usual text encoding, by parts.

The size of what is unpacked and the number of elements are limited, so that a small file cannot take all memory.
"""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mmt.music.bounded import LARGEST, TooLargeError, read_at_most
from mmt.music.unpacking import DAMAGED, read_member

_LARGEST_ARCHIVE = 32 << 20  # bytes
_LARGEST_CONTAINER = 1 << 20
_MOST_ELEMENTS = 3_000_000  # with attributes; a symphony has one million
_MOST_SCORES = 4  # of an archive, until one can be read

_CONTAINER = "META-INF/container.xml"
# The methods of the MusicXML specification.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_DECLARATION = re.compile(rb"""\s*<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
# Python's codecs for other purposes than files.
_NO_CODECS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"}
# Names that Python does not know.
_ALIASES = {"windows-31j": "cp932", "x-sjis": "cp932", "x-gbk": "gbk", "x-euc-jp": "euc_jp", "x-mac-roman": "mac_roman"}
# Supersets that notation software writes under the narrower names.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-1": "cp1252"}
# Byte order marks, and how XML begins without one.
_BEGINNINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}


def read_score(path: Path) -> Element:
    """Return the root element of a MusicXML score as `score-partwise`, without namespaces.

    A `ValueError` refuses what is no MusicXML score, or one beyond the limits.
    """
    with path.open("rb") as file:
        data = read_at_most(file, LARGEST)
    if not data.startswith(b"PK"):
        return _score(data)
    if len(data) > _LARGEST_ARCHIVE:
        raise ValueError(f"the archive holds more than {_LARGEST_ARCHIVE >> 20} MiB, which no score does")
    try:
        return _score_of_archive(data)
    except DAMAGED as error:
        raise ValueError(f"the archive cannot be unpacked ({error or type(error).__name__})") from error


def _score_of_archive(data: bytes) -> Element:
    """The first member of an .mxl archive that is a score: what the container names, then other XML files."""
    first_error = ValueError("the archive holds no score")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for place, name in enumerate(_scores(archive)[:_MOST_SCORES]):
            try:
                return _score(_member(archive, name, LARGEST))
            except ValueError as error:
                first_error = first_error if place else error
    raise first_error


def _scores(archive: zipfile.ZipFile) -> list[str]:
    """The members that may be the score, the most likely first."""
    names = dict.fromkeys(name for name in archive.namelist() if not name.endswith("/"))
    paths: list[str] = []
    if _CONTAINER in names:
        with suppress(ValueError):
            container = _parsed(_member(archive, _CONTAINER, _LARGEST_CONTAINER))
            paths = [element.get("full-path", "") for element in container.iter() if element.tag.endswith("rootfile")]
    wanted = [form for path in paths for form in (path, unquote(path).replace("\\", "/").lstrip("./"))]
    # macOS adds files that describe others.
    others = [
        name
        for name in names
        if name.lower().endswith((".xml", ".musicxml"))
        and not name.startswith(("META-INF", "__MACOSX"))
        and not PurePosixPath(name).name.startswith("._")
    ]
    return list(dict.fromkeys(name for name in (*wanted, *others) if name in names))


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    member = archive.getinfo(name)
    if member.compress_type not in _METHODS:
        raise ValueError("the archive is packed by another method than MusicXML's, which is deflate; pack it as zip")
    try:
        return read_member(archive, member, largest)
    except TooLargeError:
        raise
    except ValueError as error:  # damage: do not read another score of the archive instead
        raise zipfile.BadZipFile(str(error)) from error


def _score(data: bytes) -> Element:
    root = _parsed(data)
    if "}" in root.tag:
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
    if root.tag == "score-timewise":
        return _partwise(root)
    if root.tag != "score-partwise":
        raise ValueError(f"this is XML, but not a MusicXML score (its root is <{root.tag[:40]}>)")
    return root


def _parsed(data: bytes) -> Element:
    data = _as_utf8(data).lstrip()  # nothing may precede an XML declaration, but some files have empty lines there
    # Entities, and attributes that all elements of a name have by default, can expand a small file without limit.
    if b"<!ENTITY" in data or b"<!ATTLIST" in data:
        raise ValueError("it declares XML entities or attributes, which no MusicXML score does")
    if data.count(b"<") - data.count(b"</") + data.count(b"=") > _MOST_ELEMENTS:
        raise ValueError(f"it has more than {_MOST_ELEMENTS:,} elements and attributes, which no score has")
    parser = ElementTree.XMLParser(encoding="utf-8")  # regardless of the declaration
    try:
        return ElementTree.fromstring(data, parser)
    except ElementTree.ParseError as error:
        raise ValueError(f"this is not well-formed XML ({error})") from None


def _as_utf8(data: bytes) -> bytes:
    """Recode XML by its byte order mark, by its declaration, as UTF-8, or else as Western.

    (Python's parser refuses encodings with several bytes a character.)
    """
    for beginning, encoding in _BEGINNINGS.items():
        if data.startswith(beginning):
            return data.decode(encoding, "replace").encode()
    declared = _DECLARATION.match(data[:1000])
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    # A file that declares UTF-16 and is not was saved again by a tool.
    names = ["utf-8"] if name.startswith(("utf-16", "utf16", "ucs")) else [name, "utf-8"]
    for name in names:
        try:
            return data if data.isascii() and name == "utf-8" else data.decode(_codec(name)).encode()
        except (UnicodeError, LookupError):
            continue
    return data.decode("latin-1").encode()


def _codec(name: str) -> str:
    codec = codecs.lookup(_ALIASES.get(name, name)).name
    if codec in _NO_CODECS:
        raise LookupError(name)
    return _SUPERSETS.get(codec, codec)


def _partwise(root: Element) -> Element:
    """Convert score-timewise (measures of parts) to score-partwise (parts of measures)."""
    parts: dict[str, Element] = {}
    for measure in root.findall("measure"):
        for part in measure.findall("part"):
            name = part.get("id", "")
            parts.setdefault(name, Element("part", id=name)).append(part)
            part.tag, part.attrib = "measure", dict(measure.attrib)
    partwise = Element("score-partwise")
    partwise.extend(element for element in root if element.tag != "measure")
    partwise.extend(parts.values())
    return partwise
