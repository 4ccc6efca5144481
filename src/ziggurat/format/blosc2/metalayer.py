"""The metalayer in which Ziggurat says what the pixels of an array mean."""

import json

from ziggurat.codec.msgpack import Value, unpack
from ziggurat.errors import CorruptImage
from ziggurat.format.notes import Notes, told, understood

NAME = b"ziggurat"


def write_notes(notes: Notes) -> bytes:
    """The text of the metalayer."""
    return json.dumps(told(notes)).encode()


def read_notes(layer: Value) -> Notes:
    """Reads the metalayer; None, where there is none, says nothing.

    Raises:
        CorruptImage: if it is there and not as ``write_notes`` makes it.
    """
    if layer is None:
        return Notes()
    try:
        text = unpack(layer) if isinstance(layer, bytes) else None
        return understood(json.loads(text) if isinstance(text, bytes) else None)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptImage(f"the metalayer ziggurat is not as it must be: {error}") from error
