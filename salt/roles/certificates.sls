{#- Renew only the certificates of this node that expire soon. Every process except the kubelet reloads a renewed file
    itself; no process of the control plane is restarted. -#}
{%- from "metalk8s/roles/map.jinja" import fence, node with context %}
include:
  - metalk8s.roles.node.certificates

{{ fence("renew its certificates") }}

Have every port serve what was renewed:
  metalk8s_expand_certificates.served:
    - name: {{ node.name }}
    - certificates: {{ pillar.metalk8s.certificates | json }}
    - address: {{ node.address | json }}
    - require:
      - metalk8s_expand_certificates: Have the certificates signed
