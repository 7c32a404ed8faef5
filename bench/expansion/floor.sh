#!/bin/bash
# The page's expansion without Salt, from the bootstrap node over parallel ssh: floor.sh NAME=ADDRESS=ROLES...
set -euo pipefail
cd /root/bench
export KUBECONFIG=/etc/kubernetes/admin.conf
pki=/etc/kubernetes/pki
bootstrap=$(sed -n 's/.*--node-ip=//p' /etc/systemd/system/kubelet.service)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

on() { # ADDRESS COMMAND...
    ssh -i /etc/metalk8s/pki/salt-bootstrap -o UserKnownHostsFile=/etc/metalk8s/pki/known_hosts -o BatchMode=yes \
        -o ControlMaster=auto -o ControlPath="$scratch/%h" -o ControlPersist=30 "root@$1" "${@:2}"
}

etcd() {
    etcdctl --endpoints="https://$bootstrap:2379" --cacert=$pki/etcd/ca.crt --cert=$pki/etcd/healthcheck-client.crt \
        --key=$pki/etcd/healthcheck-client.key "$@"
}

register() { # NAME ROLES
    local role
    printf '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "%s", "labels": {"bench": ""' "$1"
    for role in ${2//,/ }; do printf ', "node-role.kubernetes.io/%s": ""' "$role"; done
    printf '}}, "spec": {"taints": ['
    for role in ${2//,/ }; do
        test "$role" = node || printf '{"key": "node-role.kubernetes.io/%s", "effect": "NoSchedule"},' "$role"
    done | sed 's/,$//'
    printf ']}}\n'
}

certify() { # NAME ADDRESS ROLES
    on "$2" bash /root/bench/keys.sh "$1" "$2" "$3" | bash sign.sh | on "$2" tar -C $pki -xf -
}

prepare() { # NAME ADDRESS ROLES
    local kit=node images="pause kube-proxy flannel busybox" certified
    case "$3" in
        *master*) kit=master images="$images etcd kube-apiserver kube-controller-manager kube-scheduler" ;;
        *infra*) images="$images coredns" ;;
    esac
    tar -cf - keys.sh host.sh SHA256SUMS | on "$2" "mkdir -p /root/bench && tar -C /root/bench -xf -"
    on "$2" tar -C / -xf - <"$kit.tar"
    certify "$1" "$2" "$3" &
    certified=$!
    on "$2" bash /root/bench/host.sh "$1" "$2" "$bootstrap" "$images"
    wait $certified
    on "$2" systemctl enable --quiet --now kubelet
}

repeat() { # COMMAND...: until it succeeds, at most five minutes
    local end=$((SECONDS + 300))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "not within five minutes: $*" >&2; return 1; }
        sleep 0.1
    done
}

add() { # NAME ADDRESS
    etcd member add "$1" --peer-urls="https://$2:2380" --learner >member
}

join() { # NAME ADDRESS
    local member cluster
    # A kubelet whose Node has no capacity yet denies a static Pod and never tries it again.
    repeat kubectl wait --for=condition=Ready --timeout=120s "node/$1"
    # etcd refuses an addition for some seconds after another.
    repeat add "$1" "$2"
    member=$(<member)
    cluster=$(sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"/\1/p' <<<"$member")
    on "$2" "sed -i 's|^initial-cluster: .*|initial-cluster: $cluster|' /etc/kubernetes/etcd/etcd.yaml &&
             mv /etc/kubernetes/ready-pods/etcd.yaml /etc/kubernetes/manifests/"
    repeat etcd member promote "$(sed -n 's/^Member *\([0-9a-f]*\) added.*/\1/p' <<<"$member")"
    on "$2" 'mv /etc/kubernetes/ready-pods/* /etc/kubernetes/manifests/'
    repeat curl --fail --cacert $pki/ca.crt "https://$2:6443/readyz"
}

for node in "$@"; do
    IFS='=' read -r name address roles <<<"$node"
    register "$name" "$roles"
done | kubectl apply -f - >/dev/null
declare -A prepared
for node in "$@"; do
    IFS='=' read -r name address roles <<<"$node"
    prepare "$name" "$address" "$roles" &
    prepared[$name]=$!
done
for node in "$@"; do
    IFS='=' read -r name address roles <<<"$node"
    wait "${prepared[$name]}"
    case "$roles" in *master*) join "$name" "$address" ;; esac
done
for node in "$@"; do
    repeat kubectl wait --for=condition=Ready --timeout=120s "node/${node%%=*}"
done
