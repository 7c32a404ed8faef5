"""The library against real daemons on loopback: etcd as its static Pod would start it, and a kube-apiserver."""
