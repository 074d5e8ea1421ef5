# SPDX-License-Identifier: Apache-2.0
"""Compressed files: all that stands before a damage comes out, and what the damage is is told."""

import contextlib
import gzip
import hashlib
import sys
import zlib
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input import compressed
from sgatlin.input.compressed import Damage, SourceFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINES = [f"line {i} ".encode() * (1 + i % 3) + b"\n" for i in range(6)]
CHECKED = {zstd.CompressionParameter.checksum_flag: 1}
WIDE = {zstd.DecompressionParameter.window_log_max: 31}


def zstd_frame(lines: list[bytes]) -> bytes:
    """A frame with a checksum and a block of its own for each line."""
    compressor = zstd.ZstdCompressor(options=CHECKED)
    blocks = [compressor.compress(line, compressor.FLUSH_BLOCK) for line in lines]
    return b"".join(blocks) + compressor.flush()


def gzip_member(lines: list[bytes]) -> bytes:
    compressor = zlib.compressobj(wbits=31)
    blocks = [compressor.compress(line) + compressor.flush(zlib.Z_FULL_FLUSH) for line in lines]
    return b"".join(blocks) + compressor.flush()


NEW = {
    ".zst": lambda: zstd.ZstdDecompressor(options=WIDE),
    ".gz": lambda: zlib.decompressobj(wbits=31),
}
FRAMES = {
    ".zst": (zstd_frame(LINES[:4]), zstd_frame(LINES[4:])),
    ".gz": (gzip_member(LINES[:4]), gzip_member(LINES[4:])),
}


def reference(data: bytes, compression: str) -> tuple[bytes, bool]:
    """What can be decoded when bytes come one by one, and whether that is all of it."""
    output = b""
    decoder = None
    with contextlib.suppress(zstd.ZstdError, zlib.error):
        for i in range(len(data)):
            decoder = decoder or NEW[compression]()
            output += decoder.decompress(data[i : i + 1])
            decoder = None if decoder.eof else decoder
        return output, decoder is None and data != b""
    return output, False


def decompress(path: Path) -> tuple[bytes, str | None]:
    """The bytes that came out and, if it is damaged, the reason."""
    output = b""
    with SourceFile(path) as file:
        try:
            for chunk in file.decompressed(path.suffix):
                output += chunk
        except Damage as damage:
            return output, str(damage)
    return output, None


@pytest.fixture(params=[None, 7], ids=["large steps", "small steps"])
def _steps(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(compressed, "_READ", request.param)
        monkeypatch.setattr(compressed, "_STEP", request.param)


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("compression", [".zst", ".gz"])
def test_all_that_can_be_decoded_of_a_truncated_file_comes_out(tmp_path, compression):
    data = b"".join(FRAMES[compression])
    n_whole = 0
    for size in range(len(data) + 1):
        (path := tmp_path / f"file{compression}").write_bytes(data[:size])
        expected, is_whole = reference(data[:size], compression)
        output, reason = decompress(path)
        assert output == expected
        assert (reason is None) == is_whole
        if size and not is_whole:
            assert reason.endswith("end in the middle of a frame: the file is incomplete, "
                                   "download it again")  # fmt: skip
        n_whole += is_whole
    assert n_whole == 2, "after each of the two frames"


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("compression", [".zst", ".gz"])
def test_all_that_can_be_decoded_of_a_damaged_file_comes_out(tmp_path, compression):
    data = b"".join(FRAMES[compression])
    n_damaged = 0
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        (path := tmp_path / f"file{compression}").write_bytes(damaged)
        expected, is_whole = reference(bytes(damaged), compression)
        output, reason = decompress(path)
        assert output == expected
        assert (reason is None) == is_whole
        n_damaged += not is_whole
    assert n_damaged > 0.8 * len(data), "all but what says nothing of the content, as times do"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.zst", b"", "the file is empty, without even a zstd frame: download it again"),
        ("a.gz", b"", "the file is empty, without even a gzip frame: download it again"),
        ("a.zst", b"{}\n{}\n", "the file does not hold zstd data: download it again, or rename it"),
        ("a.gz", b"{}\n{}\n", "the file does not hold gzip data: download it again, or rename it"),
        ("a.zst", gzip.compress(b"x", mtime=0),
         "the file does not hold zstd data: download it again, or rename it"),
        ("a.gz", bytes(20), "the file does not hold gzip data: download it again, or rename it"),
    ],
)  # fmt: skip
def test_files_without_a_frame(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    assert decompress(tmp_path / name) == (b"", reason)


@pytest.mark.parametrize("compression", [".zst", ".gz"])
def test_bytes_behind_the_last_frame_are_told(tmp_path, compression):
    (path := tmp_path / f"a{compression}").write_bytes(b"".join(FRAMES[compression]) + b"garbage")
    kind = {".zst": "zstd", ".gz": "gzip"}[compression]
    reason = f"what follows the {kind} data is not {kind}: download it again"
    assert decompress(path) == (b"".join(LINES), reason)


def test_wrong_checksums(tmp_path):
    data = bytearray(FRAMES[".zst"][0])
    data[-1] ^= 1
    (tmp_path / "a.zst").write_bytes(data)
    output, reason = decompress(tmp_path / "a.zst")
    assert output == b"".join(LINES[:4])
    assert reason.startswith("the zstd data are damaged (Restored data doesn't match checksum)")
    data = bytearray(FRAMES[".gz"][0])
    data[-8] ^= 1
    (tmp_path / "a.gz").write_bytes(data)
    output, reason = decompress(tmp_path / "a.gz")
    assert output == b"".join(LINES[:4])
    assert reason == "the gzip data are damaged (incorrect data check): download it again"


def test_padding_between_gzip_members_is_passed_over(tmp_path):
    first, second = FRAMES[".gz"]
    (tmp_path / "a.gz").write_bytes(first + bytes(300) + second + bytes(512))
    assert decompress(tmp_path / "a.gz") == (b"".join(LINES), None)


def test_skippable_and_empty_zstd_frames_hold_nothing(tmp_path):
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    empty = zstd.compress(b"")
    (tmp_path / "a.zst").write_bytes(skippable + empty + FRAMES[".zst"][0] + skippable)
    assert decompress(tmp_path / "a.zst") == (b"".join(LINES[:4]), None)


def test_wide_zstd_windows(tmp_path):
    """What `zstd --long=30` writes, which the library by itself refuses to read."""
    wide = {zstd.CompressionParameter.window_log: 30}
    compressor = zstd.ZstdCompressor(options=wide)
    data = compressor.compress(b"".join(LINES)) + compressor.flush()
    with pytest.raises(zstd.ZstdError, match="too much memory"):
        zstd.decompress(data)
    (tmp_path / "a.zst").write_bytes(data)
    assert decompress(tmp_path / "a.zst") == (b"".join(LINES), None)


def test_small_files_of_much_content_come_in_small_steps(tmp_path):
    (tmp_path / "a.zst").write_bytes(zstd.compress(bytes(10_000_000)))
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    for name in ("a.zst", "a.gz"):
        with SourceFile(tmp_path / name) as file:
            sizes = [len(chunk) for chunk in file.decompressed(Path(name).suffix)]
        assert sum(sizes) == 10_000_000
        assert max(sizes) <= 1 << 18


def test_hash_and_size_are_those_of_the_file_on_disk(tmp_path):
    data = FRAMES[".zst"][0][:-10] + bytes(500_000)
    (tmp_path / "a.zst").write_bytes(data)
    with SourceFile(tmp_path / "a.zst") as file:
        with pytest.raises(Damage):
            list(file.decompressed(".zst"))
        file.drain()
        facts = file.facts("folder/a.zst")
    assert (facts.file, facts.size) == ("folder/a.zst", len(data))
    assert facts.sha256 == hashlib.sha256(data).hexdigest()


def test_files_that_cannot_be_opened(tmp_path):
    for path, why in ((tmp_path / "none.txt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=rf"cannot read {path}: {why}"):
            SourceFile(path)
