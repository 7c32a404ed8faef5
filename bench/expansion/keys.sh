#!/bin/bash
# Make the keys of a node and print an archive of the requests for their certificates: keys.sh NAME ADDRESS ROLES.
set -euo pipefail
name=$1 address=$2 roles=$3
umask 077
mkdir -p /etc/kubernetes/pki/etcd
cd /etc/kubernetes/pki
node="DNS:$name,IP:$address"
local="$node,DNS:localhost,IP:127.0.0.1"
cluster="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:10.96.0.1"

request() { # PATH SUBJECT USAGE [NAMES]
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -batch -keyout "$1.key" -out "$1.csr" -subj "$2" \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature,keyEncipherment \
        -addext "extendedKeyUsage=$3" ${4:+-addext "subjectAltName=$4"} 2>/dev/null
}

request kubelet-client "/O=system:nodes/CN=system:node:$name" clientAuth
request kubelet-server "/O=system:nodes/CN=system:node:$name" serverAuth "$node"
case ",$roles," in *,master,*)
    request etcd/server "/CN=$name" serverAuth,clientAuth "$local"
    request etcd/peer "/CN=$name" serverAuth,clientAuth "$local"
    request etcd/healthcheck-client /CN=kube-etcd-healthcheck-client clientAuth
    request apiserver /CN=kube-apiserver serverAuth "$local,$cluster"
    request apiserver-kubelet-client /CN=kube-apiserver-kubelet-client clientAuth
    request apiserver-etcd-client /CN=kube-apiserver-etcd-client clientAuth
    request front-proxy-client /CN=front-proxy-client clientAuth
    request controller-manager /CN=system:kube-controller-manager clientAuth
    request scheduler /CN=system:kube-scheduler clientAuth
esac
find . -name '*.csr' -print0 | tar --null --files-from=- -cf -
