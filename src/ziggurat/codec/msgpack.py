"""The part of msgpack that Blosc2 frames are written in (https://github.com/msgpack/msgpack, spec.md)."""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ziggurat.errors import CorruptImage

type Value = bool | int | bytes | list[Value] | dict[bytes, Value] | None
"""Strings stay bytes: what they are encoded in is the reader's business."""

DEEPEST = 8
"""Levels of nesting; a frame's header has four."""

_NUMBERS: Mapping[int, str] = MappingProxyType(
    {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
)
_BYTES: Mapping[int, str] = MappingProxyType({0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"})
_EXTENSIONS: Mapping[int, int] = MappingProxyType({0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16})
"""Bytes of fixed extensions, whose type byte is left out of the value."""

_CONSTANTS: Mapping[int, bool | None] = MappingProxyType({0xC0: None, 0xC2: False, 0xC3: True})


def unpack(data: bytes) -> Value:
    """The first value of some bytes; what follows it is left alone.

    Raises:
        CorruptImage: if it is cut short, nested too deeply, or of a kind that frames do not have.
    """
    return _Unpacker(data).value(0)


class _Unpacker:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self, depth: int) -> Value:
        if depth > DEEPEST:
            raise CorruptImage(f"byte {self._at}: values are nested more than {DEEPEST} deep")
        kind = self._taken(1)[0]
        if kind <= 0x7F:  # noqa: PLR2004 - positive fixint
            return kind
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        if kind in _NUMBERS:
            return self._number(_NUMBERS[kind])
        if kind in _EXTENSIONS:
            return self._taken(1 + _EXTENSIONS[kind])[1:]
        return self._sized(kind, depth + 1)

    def _sized(self, kind: int, depth: int) -> Value:
        match kind >> 4:
            case 0x8:
                return self._map(kind & 0xF, depth)
            case 0x9:
                return self._list(kind & 0xF, depth)
            case 0xA | 0xB:
                return self._taken(kind & 0x1F)
        if kind in _BYTES:
            return self._taken(self._number(_BYTES[kind]))
        readers: dict[int, Callable[[int, int], Value]] = {0xDC: self._list, 0xDE: self._map}
        if kind in readers:
            return readers[kind](self._number(">H"), depth)
        raise CorruptImage(f"byte {self._at - 1}: {kind:#04x} begins no value that a frame has")

    def _list(self, count: int, depth: int) -> list[Value]:
        return [self.value(depth) for _ in range(count)]

    def _map(self, count: int, depth: int) -> dict[bytes, Value]:
        found: dict[bytes, Value] = {}
        for _ in range(count):
            key = self.value(depth)
            if not isinstance(key, bytes):
                raise CorruptImage(f"byte {self._at}: a key is no string")
            found[key] = self.value(depth)
        return found

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._taken(struct.calcsize(form)))[0])

    def _taken(self, length: int) -> bytes:
        part = self._data[self._at : self._at + length]
        if len(part) < length:
            raise CorruptImage(f"byte {self._at}: {length} bytes are declared, {len(part)} are there")
        self._at += length
        return part
