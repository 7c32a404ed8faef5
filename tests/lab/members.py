"""The etcd members of the lab."""

from __future__ import annotations

MEMBERS = ["bootstrap", "cp-1", "cp-2"]
