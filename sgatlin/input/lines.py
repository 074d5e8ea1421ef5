# SPDX-License-Identifier: Apache-2.0
"""Lines and documents, cut out of a stream of bytes in bounded memory."""

import codecs
from collections.abc import Iterable, Iterator

from sgatlin.input.compressed import Damage


def split(chunks: Iterable[bytes], separator: bytes, limit: int) -> Iterator[bytearray | None]:
    """What stands between separators; None for a piece of more than `limit` bytes.

    What follows the last separator is a piece too unless it is blank.
    """
    overlap = len(separator) - 1
    buffer = bytearray()
    is_over = False
    for chunk in chunks:
        searched = max(0, len(buffer) - overlap)
        buffer += chunk
        start = 0
        while (end := buffer.find(separator, max(start, searched))) >= 0:
            yield None if is_over or end - start > limit else buffer[start:end]
            is_over = False
            start = end + len(separator)
        del buffer[:start]
        if len(buffer) - overlap > limit:
            # All that can still matter of this piece is the start of the separator that ends it.
            is_over = True
            del buffer[: len(buffer) - overlap]
    if is_over or len(buffer) > limit:
        yield None
    elif not is_blank(buffer):
        yield buffer


def whole(chunks: Iterable[bytes], limit: int) -> Iterator[bytearray | None]:
    """The one piece that a stream is; None if it has more than `limit` bytes."""
    buffer = bytearray()
    n_bytes = 0
    for chunk in chunks:
        n_bytes += len(chunk)
        if n_bytes <= limit:
            buffer += chunk
    yield buffer if n_bytes <= limit else None


def without_mark(pieces: Iterator[bytearray | None]) -> Iterator[bytearray | None]:
    """Takes the byte order mark off the first piece; Damage if it is one of another encoding."""
    for piece in pieces:
        if piece is not None:
            if piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise Damage("the file is UTF-16 or UTF-32: convert it to UTF-8, with iconv say")
            if piece.startswith(codecs.BOM_UTF8):
                del piece[: len(codecs.BOM_UTF8)]
        yield piece
        break
    yield from pieces


def is_blank(piece: bytearray) -> bool:
    """Whether there is nothing but white space of ASCII."""
    return not piece or piece.isspace()
