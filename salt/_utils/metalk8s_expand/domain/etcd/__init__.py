"""Rules of etcd: quorum and snapshots. No I/O."""
