#!/bin/bash
# Make a host ready for kubeadm: kubeadm.sh NAME ADDRESS BOOTSTRAP IMAGE...; host.sh has the same arguments.
set -euo pipefail
# The kit has the files of the other cluster. host.sh fills in names in three of them; kubeadm's own come after it.
rm -rf /etc/kubernetes
mkdir -p /etc/kubernetes
: >/etc/kubernetes/kubelet.conf
: >/etc/kubernetes/kubelet.yaml
: >/etc/systemd/system/kubelet.service
# The peer has a single API endpoint.
sed -i 's/ apiserver-proxy$//' /root/bench/host.sh
bash /root/bench/host.sh "$@"
rm /etc/kubernetes/kubelet.conf /etc/kubernetes/kubelet.yaml
cat >/etc/systemd/system/kubelet.service <<END
[Service]
Environment=KUBELET_KUBEADM_ARGS=
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \\
    --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml --node-ip=$2 \$KUBELET_KUBEADM_ARGS
Restart=always
RestartSec=2
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
curl --fail --silent "http://$3:8080/client.tar" | tar -C / -xf -
