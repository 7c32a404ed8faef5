"""Rules of etcd: quorum and snapshots. Pure."""
