#!/bin/bash
# Pack the files that configure a node, from the bootstrap node: kit.sh DIRECTORY. All peers use the same files.
set -euo pipefail
out=$1
mkdir -p "$out"
node=(
    etc/cni/net.d etc/containerd/config.toml etc/metalk8s/apiserver-proxy.cfg etc/modules-load.d/metalk8s.conf
    etc/sysctl.d/90-metalk8s.conf etc/systemd/system/{apiserver-proxy,containerd,kubelet}.service
    etc/kubernetes/{kubelet.conf,kubelet.yaml,pki/ca.crt}
)
master=(
    etc/kubernetes/{controller-manager.conf,scheduler.conf,encryption.conf,etcd/etcd.yaml}
    etc/kubernetes/manifests/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler}.yaml
    etc/kubernetes/pki/{sa.key,front-proxy-ca.crt,etcd/ca.crt}
)
# The kubelet starts each file of ``manifests``, so the Pods are in another directory until they may start.
tar -C / --transform 's,kubernetes/manifests,kubernetes/ready-pods,' -cf "$out/master.tar" "${node[@]}" "${master[@]}"
tar -C / -cf "$out/node.tar" "${node[@]}"
cp /srv/artifacts/SHA256SUMS "$out/"
