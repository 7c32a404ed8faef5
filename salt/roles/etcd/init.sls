{#- An etcd member: certificates, the addition as a learner under the guard, its Pod, the promotion under the guard. -#}
{%- from "metalk8s/roles/map.jinja" import certificate, image, static_pod, cluster, epoch, node, pki with context %}
{%- set others = pillar.metalk8s.etcd_members | rejectattr("name", "equalto", node.name) | list %}
include:
  - metalk8s.roles.node
{%- if node.name == pillar.metalk8s.ca_server %}
  - metalk8s.roles.ca
{%- endif %}

{{ image("etcd") }}

{{ certificate("etcd-server", pki ~ "/etcd/server") }}

{{ certificate("etcd-peer", pki ~ "/etcd/peer") }}

{{ certificate("etcd-healthcheck-client", pki ~ "/etcd/healthcheck-client") }}
{% if node.name != pillar.metalk8s.ca_server %}
Trust etcd's CA:
  file.managed:
    - name: {{ pki }}/etcd/ca.crt
    - contents_pillar: metalk8s:authorities:etcd
    - mode: '0644'
    - makedirs: True
    - require_in:
      - metalk8s_expand_etcd: Add the etcd member as a learner
{% endif %}
Keep etcd's data private:
  file.directory:
    - name: /var/lib/etcd
    - mode: '0700'

Add the etcd member as a learner:
  metalk8s_expand_etcd.member_added:
    - name: {{ node.name }}
    - address: {{ node.address | json }}
    - endpoints: {{ others | map(attribute="address") | list | json }}
    - new_cluster: {{ pillar.metalk8s.get("new_etcd_cluster", False) }}
    - epoch: {{ epoch | json }}
    - require:
      - file: Keep etcd's data private
      - x509: Have the certificate etcd-server signed
      - x509: Have the certificate etcd-peer signed
      - x509: Have the certificate etcd-healthcheck-client signed
      - cmd: Import the image etcd
      - service: Run the kubelet

{{ static_pod("etcd", "salt://metalk8s/roles/etcd/files/etcd.yaml.j2", {"image": cluster.images.etcd},
              [{"metalk8s_expand_etcd": "Add the etcd member as a learner"}]) }}

Promote the etcd member:
  metalk8s_expand_etcd.member_promoted:
    - name: {{ node.name }}
    - address: {{ node.address | json }}
    - endpoints: {{ others | map(attribute="address") | list | json }}
    - epoch: {{ epoch | json }}
    - require:
      - cmd: Run etcd
