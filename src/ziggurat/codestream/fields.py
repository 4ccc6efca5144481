"""Reading numbers from bytes that may lie about their own length."""

from dataclasses import dataclass

from ziggurat.errors import CorruptImage


@dataclass(frozen=True, slots=True)
class Incomplete:
    """What a parser answers that was given too short a prefix.

    Attributes:
        needed: bytes from the prefix's start that the parser needs to get any further.
    """

    needed: int


class Fields:
    """Big-endian numbers one after the other, out of the bytes of one box or marker segment.

    Args:
        data: bytes that hold it.
        start: index of its first byte in ``data``.
        end: index past its last byte; at most ``len(data)``.
        name: what errors call it, with its place in the file: "box 'ihdr' at byte 48".
    """

    def __init__(self, data: bytes, start: int, end: int, name: str) -> None:
        self._data = data
        self._at = start
        self._end = end
        self.name = name

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return self._end - self._at

    @property
    def at(self) -> int:
        """Index of the next byte in ``data``."""
        return self._at

    def take(self, length: int) -> bytes:
        """The next bytes.

        Raises:
            CorruptImage: if there are fewer.
        """
        if length > self.left:
            raise CorruptImage(
                f"{self.name} ends {length - self.left} bytes too early: a field of {length} bytes "
                f"starts where {self.left} are left"
            )
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, length: int) -> int:
        """The next unsigned number of this many bytes."""
        return int.from_bytes(self.take(length))

    def signed(self, length: int) -> int:
        """The next number of this many bytes in two's complement."""
        return int.from_bytes(self.take(length), signed=True)

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(self.left)

    def require(self, condition: bool, rule: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Checks a rule of the standard.

        Raises:
            CorruptImage: naming the place and the rule, if it is broken.
        """
        if not condition:
            raise CorruptImage(f"{self.name}: {rule}")
