{#- The Pod of an etcd member, configured by its flags alone. Who runs it registers the member. -#}
{%- from "metalk8s/roles/map.jinja" import static_pod, cluster, node, pki with context %}
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

Create etcd database directory:
  file.directory:
    - name: /var/lib/etcd
    - mode: '0750'

{#- The flags of a member that exists stay as they are: the list of members has grown since. #}
{%- if not salt["file.file_exists"]("/etc/kubernetes/manifests/etcd.yaml") %}
{{ static_pod("etcd", "salt://metalk8s/roles/etcd/files/manifest.yaml.j2",
              {"image": cluster.images.etcd, "name": node.name, "address": node.address, "pki": pki ~ "/etcd",
               "state": "existing" if known else "new", "initial": members.items() | map("join", "=") | sort | join(",")},
              prepared=[{"file": "Create etcd database directory"},
                        {"metalk8s_expand_certificates": "Have the certificates signed"},
                        {"metalk8s_expand_artifacts": "Import the images"}]) }}
{%- endif %}
