"""Xet hashes and sizes of files by SHA-256, read from the shards that an upload leaves."""

import struct
from collections.abc import Iterator
from pathlib import Path


RECORD = 48
END = b"\xff" * 32
HAS_VERIFICATION, HAS_METADATA = 1 << 31, 1 << 30


def xet_files(folder: Path) -> dict[str, tuple[str, int]]:
    """Maps the SHA-256 of every file in a local Xet storage to its Xet hash and size."""
    return dict(pair for shard in folder.rglob("*.mdb") for pair in _files(shard.read_bytes()))


def _files(shard: bytes) -> Iterator[tuple[str, tuple[str, int]]]:
    # After the header, one group of records per file: its head, its parts, their verification hashes, its SHA-256.
    position = RECORD
    while shard[position : position + 32] != END:
        flags, parts = struct.unpack_from("<II", shard, position + 32)
        metadata = position + RECORD * (1 + parts * (2 if flags & HAS_VERIFICATION else 1))
        if flags & HAS_METADATA:
            sizes = (struct.unpack_from("<I", shard, position + RECORD * part + 36)[0] for part in range(1, parts + 1))
            yield _hex(shard, metadata), (_hex(shard, position), sum(sizes))
        position = metadata + (RECORD if flags & HAS_METADATA else 0)


def _hex(shard: bytes, position: int) -> str:
    return "".join(f"{number:016x}" for number in struct.unpack_from("<4Q", shard, position))
