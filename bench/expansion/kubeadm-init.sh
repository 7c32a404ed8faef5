#!/bin/bash
# Make the first node of kubeadm's cluster: kubeadm-init.sh NAME ADDRESS VERSION.
set -euo pipefail
cat >/root/bench/init.yaml <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $2}
nodeRegistration: {name: $1, ignorePreflightErrors: [all]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $3
controlPlaneEndpoint: $2:6443
encryptionAlgorithm: ECDSA-P256
networking: {podSubnet: 10.233.0.0/16, serviceSubnet: 10.96.0.0/12}
apiServer: {certSANs: [127.0.0.1]}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
END
systemctl enable --quiet kubelet
kubeadm init --config=/root/bench/init.yaml --skip-phases=addon/coredns
# The client that writes reads a certificate and a key from these files.
cd /etc/kubernetes
for kind in certificate key; do
    sed -n "s/ *client-$kind-data: //p" admin.conf | base64 -d >"pki/admin.${kind/certificate/crt}"
done
