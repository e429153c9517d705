"""The representation of music: fields and codes, instruments, note table, encode, decode, text, prompts, grammar."""

from mmt.representation.codes import Representation
from mmt.representation.decode import decode
from mmt.representation.encode import encode
from mmt.representation.notes import Report
from mmt.representation.text import to_text

__all__ = ["Representation", "Report", "decode", "encode", "to_text"]
