{#- States of every node: container runtime, the local proxy in front of all API servers, kubelet. -#}
include:
  - metalk8s.roles.node.runtime
  - metalk8s.roles.node.apiserver_proxy
  - metalk8s.roles.node.kubelet
