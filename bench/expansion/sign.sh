#!/bin/bash
# On the bootstrap node: sign the requests of an archive on stdin and print an archive of the certificates.
set -euo pipefail
pki=/etc/kubernetes/pki
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
tar -xf -
find . -name '*.csr' | while read -r csr; do
    case "$csr" in
        ./etcd/* | ./apiserver-etcd-client.csr) authority=etcd/ca ;;
        ./front-proxy-client.csr) authority=front-proxy-ca ;;
        *) authority=ca ;;
    esac
    openssl x509 -req -in "$csr" -out "${csr%.csr}.crt" -CA "$pki/$authority.crt" -CAkey "$pki/$authority.key" -days 365 \
        -copy_extensions copyall 2>/dev/null
done
find . -name '*.crt' -print0 | tar --null --files-from=- -cf -
