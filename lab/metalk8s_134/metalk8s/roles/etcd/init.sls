{#- The Pod of an etcd member, configured by its flags alone. Who runs it registers the member. -#}
{%- from "metalk8s/roles/map.jinja" import certificate, image, static_pod, cluster, node, pki with context %}
{%- set url = "https://" ~ node.address ~ ":2380" %}
{%- set members = {node.name: url} %}
{%- set known = pillar.metalk8s.get("etcd", {}).get("members", []) | selectattr("name") | list %}
{%- if not known and not pillar.metalk8s.get("new_etcd_cluster", False) %}{{ raise("etcd has no started member") }}{% endif %}
{%- for member in known %}{% do members.update({member.name: member.peer_urls[0]}) %}{% endfor %}
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
Ensure etcd CA cert is present:
  file.managed:
    - name: {{ pki }}/etcd/ca.crt
    - contents_pillar: metalk8s:authorities:etcd
    - makedirs: True
    - require_in: [{file: Create etcd database directory}]
{% endif %}
Create etcd database directory:
  file.directory:
    - name: /var/lib/etcd
    - mode: '0750'

{#- The flags of a member that exists stay as they are: the list of members has grown since. #}
{%- if not salt["file.file_exists"]("/etc/kubernetes/manifests/etcd.yaml") %}
{{ static_pod("etcd", "salt://metalk8s/roles/etcd/files/manifest.yaml.j2",
              {"image": cluster.images.etcd, "name": node.name, "address": node.address, "pki": pki ~ "/etcd",
               "state": "existing" if known else "new", "initial": members.items() | map("join", "=") | sort | join(",")},
              [{"file": "Create etcd database directory"},
               {"x509": "Have the certificate etcd-server signed"}, {"x509": "Have the certificate etcd-peer signed"},
               {"cmd": "Import the image etcd"}]) }}
{%- endif %}
