"""Verification of a snapshot file without etcd's tools: hash, bbolt pages and newest revision.

The file contains etcd's store as pages in bbolt's format, followed by the SHA-256 of these pages.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from metalk8s_expand.errors import ConflictError

HASH_BYTES = 32
# Page sizes are a multiple of this, so etcd's tools recognize a file with a hash by its length.
SECTOR = 512
MAGIC, VERSION = 0xED0CDAED, 2
KEYS = b"key"
_HEADER = struct.Struct("<QHHI")
# Magic, version, page size, flags, root bucket's page and sequence, freelist, number of pages,
# transaction; then their hash.
_META, _META_HASH = struct.Struct("<IIIIQQQQQ"), struct.Struct("<Q")
_BRANCH, _LEAF = struct.Struct("<IIQ"), struct.Struct("<IIII")
_BRANCH_FLAG, _LEAF_FLAG, _META_FLAG = 0x01, 0x02, 0x04
_BUCKET_BYTES, _MAX_DEPTH, _MAX_PAGE_BYTES = 16, 32, 64 * 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True)
class VerifiedSnapshot:
    """A sound snapshot: its size in bytes, its hash, and the revision of its newest write."""

    size: int
    sha256: str
    revision: int


def verify_snapshot(path: Path) -> VerifiedSnapshot:
    """Verify a snapshot file. Raises ConflictError when it is not exactly what a member sent."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            return VerifiedSnapshot(
                size, _hash(stream, size), _Store(stream, size - HASH_BYTES).revision()
            )
    except (_Unsound, struct.error) as exc:
        raise ConflictError(
            f"{path} is not a valid snapshot of etcd: {exc}", hint="do not restore from it"
        ) from exc


class _Unsound(Exception):
    """The defect of a snapshot file."""


def _hash(stream: BinaryIO, size: int) -> str:
    if size <= HASH_BYTES or size % SECTOR != HASH_BYTES:
        raise _Unsound(
            f"its length of {size} bytes is not a number of pages plus the hash at the end: the"
            " file is truncated"
        )
    stream.seek(0)
    digest, left = hashlib.sha256(), size - HASH_BYTES
    while left:
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise _Unsound("it ended during the read")
        digest.update(piece)
        left -= len(piece)
    if digest.digest() != stream.read(HASH_BYTES):
        raise _Unsound("its SHA-256 differs from the one at its end: the file was altered")
    return digest.hexdigest()


@dataclass(frozen=True)
class _Meta:
    page_size: int
    root: int
    pages: int
    transaction: int


class _Store:
    """The pages that lead to the last key of the bucket of keys."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        first = self._meta(0)
        # A snapshot begins with two meta pages, of the last transaction and of the one before.
        self._newest = max(first, self._meta(first.page_size), key=lambda meta: meta.transaction)
        if self._newest.pages * self._newest.page_size > size:
            raise _Unsound(
                f"it has {size} bytes, but should have {self._newest.pages} pages of"
                f" {self._newest.page_size}"
            )

    def revision(self) -> int:
        """Return the newest revision; that of an empty store is 1."""
        bucket = self._last(self._page(self._newest.root), KEYS)
        if bucket is None or bucket[0] != KEYS:
            raise _Unsound("it has no bucket of keys")
        value = bucket[1]
        (root,) = struct.unpack_from("<Q", value)
        # bbolt stores a small bucket inline; its page number is then 0.
        last = self._last(self._page(root) if root else value[_BUCKET_BYTES:])
        return int(struct.unpack_from(">q", last[0])[0]) if last else 1

    def _meta(self, offset: int) -> _Meta:
        raw = self._read(offset, _HEADER.size + _META.size + _META_HASH.size)
        _, flags, _, _ = _HEADER.unpack_from(raw)
        body = raw[_HEADER.size : _HEADER.size + _META.size]
        magic, version, page_size, _, root, _, _, pages, transaction = _META.unpack(body)
        if not flags & _META_FLAG or magic != MAGIC or version != VERSION:
            raise _Unsound(f"it has no meta page of bbolt at byte {offset}")
        if _META_HASH.unpack_from(raw, _HEADER.size + _META.size)[0] != _fnv(body):
            raise _Unsound(f"the meta page at byte {offset} was altered")
        if page_size < SECTOR or page_size & (page_size - 1):
            raise _Unsound(f"its page size is {page_size}")
        return _Meta(page_size, root, pages, transaction)

    def _page(self, number: int) -> bytes:
        if not 2 <= number < self._newest.pages:
            raise _Unsound(f"it refers to page {number}, which does not exist")
        offset, page_size = number * self._newest.page_size, self._newest.page_size
        overflow = _HEADER.unpack(self._read(offset, _HEADER.size))[3]
        return self._read(offset, page_size * (1 + overflow))

    def _last(self, page: bytes, wanted: bytes | None = None) -> tuple[bytes, bytes] | None:
        """Return the last key, or the last one up to ``wanted``, with its value.

        Return None if there is none.
        """
        for _ in range(_MAX_DEPTH):
            _, flags, count, _ = _HEADER.unpack_from(page)
            if flags & _LEAF_FLAG:
                return _chosen([_leaf(page, index) for index in range(count)], wanted)
            if not flags & _BRANCH_FLAG:
                raise _Unsound("a page of its tree has the wrong type")
            below = _chosen([_branch(page, index) for index in range(count)], wanted)
            if below is None:
                return None
            page = self._page(int.from_bytes(below[1], "little"))
        raise _Unsound("its tree is too deep")

    def _read(self, offset: int, count: int) -> bytes:
        if count > _MAX_PAGE_BYTES or offset + count > self._size:
            raise _Unsound(f"a page at byte {offset} extends beyond its end")
        self._stream.seek(offset)
        return self._stream.read(count)


def _chosen(items: list[tuple[bytes, bytes]], wanted: bytes | None) -> tuple[bytes, bytes] | None:
    fitting = [item for item in items if wanted is None or item[0] <= wanted]
    return fitting[-1] if fitting else None


def _leaf(page: bytes, index: int) -> tuple[bytes, bytes]:
    start = _HEADER.size + index * _LEAF.size
    _, place, key, value = _LEAF.unpack_from(page, start)
    start += place
    return page[start : start + key], page[start + key : start + key + value]


def _branch(page: bytes, index: int) -> tuple[bytes, bytes]:
    start = _HEADER.size + index * _BRANCH.size
    place, key, number = _BRANCH.unpack_from(page, start)
    return page[start + place : start + place + key], number.to_bytes(8, "little")


def _fnv(data: bytes) -> int:
    """FNV-1a of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
