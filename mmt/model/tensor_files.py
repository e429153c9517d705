"""Read files that `torch.save` wrote: no code runs, and time and memory are bounded by the size of the file.

`torch.load(weights_only=True)` alone is not enough for files from strangers: it unpacks packed members, calls functions with any
arguments (`bytearray`, codecs in quadratic time), and searches long names for its error messages in quadratic time.
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from mmt.music.bounded import brief
from mmt.music.unpacking import read_member

# All that a state dict or the state of a training is made of.
_ALLOWED = re.compile(
    r"collections OrderedDict"
    r"|torch (\w{1,20}Storage|Size|device|bfloat16|float\d\d|u?int\d\d?|bool)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.nn\.parameter Parameter"
)
# The largest pickle, which describes the tensors, in bytes: a network of 1,000 layers and its optimizer's state have 5 MB.
_LARGEST_PICKLE = 2**23
_OTHER = "it was not written by torch.save of PyTorch 1.6 or later"


def load_tensors(file: Path) -> Any:
    """The content of a file of `torch.save`: tensors, numbers and texts in mappings and lists, on the CPU.

    A `ValueError` says what is wrong with another kind of file; the caller adds the name of the file and what to do.
    """
    if not file.is_file():
        raise ValueError("it is not a file")
    with file.open("rb") as opened:
        # torch.load reads any other file in its former format, even if it ends in an archive, which zipfile would find.
        if opened.read(4) != b"PK\x03\x04":
            raise ValueError(_OTHER)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive, file.stat().st_size)
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # zipfile and the unpickler raise exceptions of many types
        reason = brief(" ".join(str(error).split()))
        # Of files of other kinds, the unpickler often says a single number only.
        raise ValueError(reason if " " in reason else _OTHER) from error


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("torch.save packs nothing, and this is packed")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its parts are larger than the file")
    # zipfile moves the offsets of an archive that follows other data, and then reads other members than torch.load.
    if all(member.header_offset for member in members):
        raise ValueError(_OTHER)
    for member in members:
        # torch.load ignores case in names.
        if member.filename.lower().endswith("data.pkl"):
            for operation, argument, _ in pickletools.genops(read_member(archive, member, _LARGEST_PICKLE)):
                if operation.name == "GLOBAL" and not _ALLOWED.fullmatch(str(argument)):
                    raise ValueError(f"it refers to {brief(argument)!r}, which files of tensors do not")
