"""From the bytes of a terminal to keys: characters are themselves, the others have names.

Escape is both a key and the beginning of others. What follows it comes in the same read, nearly always; a read that
ends with it may be either, so whoever reads waits a moment and then calls `flush`.
"""

import codecs
import re
from typing import Final

NAMES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1bOH": "home",
    "\x1bOF": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[7~": "home",
    "\x1b[8~": "end",
    "\x1b[5~": "page-up",
    "\x1b[6~": "page-down",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "erase",
    "\x1b": "esc",
}

# A whole sequence: of one letter after O, or parameters and a final byte after [ (ECMA-48, §5.4).
_sequence = re.compile(r"\x1b(?:O[ -~]|\[[0-?]*[ -/]*[@-~])").match
_begins_one = re.compile(r"\x1b(?:O|\[[0-?]*[ -/]*)?$").match


class Keys:
    """What was read so far and is not a key yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that more bytes may complete."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are certain now. Sequences without a name are no keys.

        >>> Keys().feed(b"j\\x1b[B\\r")
        ['j', 'down', 'enter']
        """
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        keys: list[str] = []
        while text:
            whole = _sequence(text)
            if whole is None and _begins_one(text):
                self._rest = text
                break
            piece = whole[0] if whole is not None else text[0]
            text = text[len(piece) :]
            if piece in NAMES:
                keys.append(NAMES[piece])
            elif piece.isprintable():
                keys.append(piece)
        return keys

    def flush(self) -> list[str]:
        """Nothing followed: the beginning of a sequence was the key Escape."""
        rest, self._rest = self._rest, ""
        return [NAMES.get(character, character) for character in rest]
