#!/bin/bash
# Prepare a host that has its kit: archive, kernel, runtime, images. host.sh NAME ADDRESS BOOTSTRAP IMAGE...
set -euo pipefail
name=$1 address=$2 bootstrap=$3
shift 3
images=("${@/#/images/}")
scratch=/var/cache/bench
mkdir -p $scratch/images

fetch() {
    curl --fail --silent --show-error --output "$scratch/$1" "http://$bootstrap:8080/$1"
    (cd $scratch && grep " $1\$" /root/bench/SHA256SUMS | sha256sum --check --quiet)
}

import() {
    ctr --namespace k8s.io images import "$scratch/images/$1.tar" >/dev/null
    rm "$scratch/images/$1.tar"
}

each() { # FUNCTION ARGUMENT...: in parallel, and fail if one fails
    local work=$1 pids=() pid
    shift
    for one in "$@"; do "$work" "$one" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

each fetch "${images[@]/%/.tar}" &
fetched=$!
cd /etc
shopt -s nullglob
sed -i "s/\b${bootstrap//./\\.}\b/$address/g; s/\bbootstrap\b/$name/g" \
    systemd/system/kubelet.service kubernetes/kubelet.conf kubernetes/etcd/*.yaml kubernetes/ready-pods/*
# The taints are those of the Node, which exists.
sed -i '/^registerWithTaints/,/^[a-z]/ { /^registerWithTaints/d; /^[- ]/d }' kubernetes/kubelet.yaml
install -d -m 0700 kubernetes/manifests /var/lib/etcd
fetch node.tar
tar --extract --file $scratch/node.tar --directory / --no-same-owner --preserve-permissions --keep-directory-symlink
rm $scratch/node.tar
ldconfig
modprobe --all overlay br_netfilter 2>/dev/null || true
sysctl --quiet --load /etc/sysctl.d/90-metalk8s.conf
systemctl daemon-reload
systemctl enable --quiet --now containerd apiserver-proxy
ctr plugins list | grep -Eq 'grpc[^ ]* +cri .*ok *$' || systemctl restart containerd
wait $fetched
each import "$@"
