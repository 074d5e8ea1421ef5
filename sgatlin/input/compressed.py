# SPDX-License-Identifier: Apache-2.0
"""The bytes of a file of raw text, decompressed as they stream by and hashed in the same pass."""

import contextlib
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from sgatlin.errors import UserError
from sgatlin.input.manifest import InputFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_READ = 1 << 17
_STEP = 1 << 18
"""Bytes that one step of decompression may give: a few kilobytes can stand for gigabytes."""


class Damage(Exception):
    """A file cannot be read any further; the message says why and how to mend it."""


class SourceFile:
    """A file that is read once from start to end, its size and SHA-256 counted on the way.

    A context manager. Raises UserError where the file cannot be opened or read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.position = 0
        """Bytes read so far."""
        self._sha256 = hashlib.sha256()
        try:
            self._file = path.open("rb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise self._unreadable(error) from error

    def chunks(self) -> Iterator[bytes]:
        """What is left of the file."""
        try:
            while chunk := self._file.read(_READ):
                self.position += len(chunk)
                self._sha256.update(chunk)
                yield chunk
        except OSError as error:
            raise self._unreadable(error) from error

    def decompressed(self, compression: str) -> Iterator[bytes]:
        """The content of a file that is compressed as one of COMPRESSIONS.

        Every byte before a damage comes out, then Damage is raised.
        """
        return _checked(self, _CODECS[compression])

    def drain(self) -> None:
        """Reads what is left, for the hash alone."""
        for _ in self.chunks():
            pass

    def facts(self, name: str) -> InputFile:
        """Size and hash of what has been read so far, under a name."""
        return InputFile(file=name, size=self.position, sha256=self._sha256.hexdigest())

    def _unreadable(self, error: OSError) -> UserError:
        return UserError(f"cannot read {self.path}: {error.strerror or error}")

    def __enter__(self) -> "SourceFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@runtime_checkable
class _Decoder(Protocol):
    """Of one frame; as `zstd.ZstdDecompressor` has it."""

    @property
    def needs_input(self) -> bool: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipDecoder:
    """One member of a gzip file."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        output = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflate.unconsumed_tail and len(output) < max_length
        return output


class _Codec(NamedTuple):
    name: str
    decoder: Callable[[], _Decoder]
    error: type[Exception]
    foreign: str
    """What an error says of data that are not of this format at all."""
    padding: bytes
    """What may stand between and behind frames: tapes fill their blocks with zeros."""


def _zstd_decoder() -> _Decoder:
    # By default zstd refuses what `zstd --long=31` has written; the window takes no more memory
    # than there is content.
    _, widest = zstd.DecompressionParameter.window_log_max.bounds()
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: widest})


_CODECS = {
    ".zst": _Codec("zstd", _zstd_decoder, zstd.ZstdError, "Unknown frame descriptor", b""),
    ".gz": _Codec("gzip", _GzipDecoder, zlib.error, "incorrect header check", b"\0"),
}
COMPRESSIONS = tuple(_CODECS)
"""How the names of compressed files end."""

_AGAIN = "download it again"


def _checked(file: SourceFile, codec: _Codec) -> Iterator[bytes]:
    n_bytes = 0
    try:
        for output in _decode(file.chunks(), codec):
            n_bytes += len(output)
            yield output
    except EOFError:
        if file.position == 0:
            raise Damage(
                f"the file is empty, without even a {codec.name} frame: {_AGAIN}"
            ) from None
        raise Damage(
            f"the {codec.name} data end in the middle of a frame: the file is incomplete, {_AGAIN}"
        ) from None
    except codec.error as error:
        yield _rescued(file.path, codec, file.position, n_bytes)
        if codec.foreign not in str(error):
            what = str(error).rpartition(": ")[2]
            raise Damage(f"the {codec.name} data are damaged ({what}): {_AGAIN}") from None
        if n_bytes == 0:
            raise Damage(
                f"the file does not hold {codec.name} data: {_AGAIN}, or rename it"
            ) from None
        raise Damage(f"what follows the {codec.name} data is not {codec.name}: {_AGAIN}") from None


def _decode(chunks: Iterator[bytes], codec: _Codec) -> Iterator[bytes]:
    """Decompresses frame after frame; EOFError where the last one is not whole."""
    decoder: _Decoder | None = None
    n_frames = 0
    for data in chunks:
        while True:
            if decoder is None:
                data = data.lstrip(codec.padding) if n_frames else data
                if not data:
                    break
                decoder, n_frames = codec.decoder(), n_frames + 1
            output = decoder.decompress(data, _STEP)
            if output:
                yield output
            data = b""
            if decoder.eof:
                data = decoder.unused_data
                decoder = None
            elif decoder.needs_input:
                break
    if decoder is not None or n_frames == 0:
        raise EOFError


def _rescued(path: Path, codec: _Codec, n_read: int, n_bytes: int) -> bytes:
    """What lies between the first `n_bytes` of output and a damage in the first `n_read` of input.

    A step that meets damage keeps to itself what it had decoded before. So all is decoded once
    more, and the chunk with the damage byte by byte.
    """
    rescued = bytearray()
    with SourceFile(path) as file, contextlib.suppress(codec.error, EOFError):
        for output in _decode(_last_by_bytes(file, n_read), codec):
            rescued += output[n_bytes:]
            n_bytes = max(0, n_bytes - len(output))
    return bytes(rescued)


def _last_by_bytes(file: SourceFile, n_read: int) -> Iterator[bytes]:
    """The chunks of the first `n_read` bytes, the last of them as single bytes."""
    for chunk in file.chunks():
        if file.position >= n_read:
            yield from (chunk[i : i + 1] for i in range(len(chunk)))
            return
        yield chunk
