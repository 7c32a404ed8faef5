{#- An API server that uses the local etcd member. Controller manager and scheduler use the local proxy. -#}
{%- from "metalk8s/roles/map.jinja" import kubeconfig, static_pod, cluster, has_static_pods, node, pki, prepares with context %}
include:
  - metalk8s.roles.etcd
{%- set prepared = [
  {"metalk8s_expand_certificates": "Have the certificates signed"},
  {"metalk8s_expand_artifacts": "Import the images"},
  {"file": "Write /etc/kubernetes/controller-manager.conf"},
  {"file": "Write /etc/kubernetes/scheduler.conf"},
] %}
{%- if node.name == pillar.metalk8s.ca_server %}
{%- do prepared.extend([{"x509": "Make the key of service account tokens"}, {"file": "Make the encryption of Secrets at rest"}]) %}
{%- else %}
{%- do prepared.extend([{"file": "Share the key of service account tokens"}, {"file": "Share the encryption of Secrets at rest"}]) %}
{%- endif %}
{%- if prepares %}

{{ kubeconfig("/etc/kubernetes/controller-manager.conf", "system:kube-controller-manager", "controller-manager") }}

{{ kubeconfig("/etc/kubernetes/scheduler.conf", "system:kube-scheduler", "scheduler") }}
{% if node.name != pillar.metalk8s.ca_server %}
Share the key of service account tokens:
  file.managed:
    - name: {{ pki }}/sa.key
    - contents_pillar: metalk8s:secrets:sa_key
    - mode: '0600'
    - makedirs: True
    - show_changes: False

Share the encryption of Secrets at rest:
  file.managed:
    - name: /etc/kubernetes/encryption.conf
    - contents_pillar: metalk8s:secrets:encryption
    - mode: '0600'
    - makedirs: True
    - show_changes: False
{% endif %}
{%- endif %}
{#- The API server needs a member that votes. Where other nodes have an API, the others start while the member follows. #}
{%- set promoted = [{"metalk8s_expand_etcd": "Promote the etcd member"}] %}
{% for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler") %}
{%- set follows = has_static_pods and name != "kube-apiserver" %}
{{ static_pod(name, "salt://metalk8s/roles/master/files/" ~ name ~ ".yaml.j2",
              {"image": cluster.images[name], "address": node.address, "networks": cluster.networks},
              prepared=prepared, joined=[{"metalk8s_expand_host": "Run etcd"}] if follows else promoted,
              precedes=promoted if follows else []) }}
{% endfor %}
