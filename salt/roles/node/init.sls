{#- States of every node: container runtime, certificates, the local proxy in front of all API servers, kubelet. -#}
{%- from "metalk8s/roles/map.jinja" import fence, prepares with context %}
include:
{%- if prepares %}
  - metalk8s.roles.node.runtime
  - metalk8s.roles.node.certificates
  - metalk8s.roles.node.apiserver_proxy
{%- endif %}
  - metalk8s.roles.node.kubelet

{{ fence("change this host") }}
