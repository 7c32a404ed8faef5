{#- An etcd member: the addition as a learner under the guard, its Pod, the promotion under the guard. -#}
{%- from "metalk8s/roles/map.jinja" import static_pod, cluster, epoch, has_static_pods, joins, node, prepares with context %}
{%- set others = pillar.metalk8s.etcd_members | rejectattr("name", "equalto", node.name) | list %}
include:
  - metalk8s.roles.node
{%- if prepares %}

Keep etcd's data private:
  file.directory:
    - name: /var/lib/etcd
    - mode: '0700'
{%- endif %}
{%- if joins %}

Add the etcd member as a learner:
  metalk8s_expand_etcd.member_added:
    - name: {{ node.name }}
    - address: {{ node.address | json }}
    - endpoints: {{ others | map(attribute="address") | list | json }}
    - new_cluster: {{ pillar.metalk8s.get("new_etcd_cluster", False) }}
    - epoch: {{ epoch | json }}
    - require:
      - service: Run the kubelet
{%- if has_static_pods %}
      - metalk8s_expand_host: Let the API know the kubelet
{%- endif %}
{%- if prepares %}
      - file: Keep etcd's data private
      - metalk8s_expand_certificates: Have the certificates signed
      - metalk8s_expand_artifacts: Import the images
{%- endif %}
{%- endif %}

{{ static_pod("etcd", "salt://metalk8s/roles/etcd/files/etcd.yaml.j2", {"image": cluster.images.etcd},
              joined=[{"metalk8s_expand_etcd": "Add the etcd member as a learner"}]) }}
{%- if joins %}

Promote the etcd member:
  metalk8s_expand_etcd.member_promoted:
    - name: {{ node.name }}
    - address: {{ node.address | json }}
    - endpoints: {{ others | map(attribute="address") | list | json }}
    - epoch: {{ epoch | json }}
    - require:
      - metalk8s_expand_host: Run etcd
{%- endif %}
