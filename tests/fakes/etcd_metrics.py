"""Metrics of a learner that has received its name in a snapshot, as etcd 3.6.5 writes them."""

from __future__ import annotations

WAITING = """\
# HELP etcd_network_snapshot_receive_success The total number of successful snapshot receives
# TYPE etcd_network_snapshot_receive_success counter
etcd_network_snapshot_receive_success{From="8663b7a704ab6a6e"} 1
etcd_network_snapshot_receive_total_duration_seconds_count{From="8663b7a704ab6a6e"} 1
etcd_server_has_leader 1
etcd_server_is_learner 1
etcd_server_proposals_applied_total 748
etcd_server_proposals_pending 1
etcd_server_snapshot_apply_in_progress_total 0
"""
