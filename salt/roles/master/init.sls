{#- An API server that uses the local etcd member. Controller manager and scheduler use the local proxy. -#}
{%- from "metalk8s/roles/map.jinja" import certificate, image, kubeconfig, static_pod, cluster, node, pki with context %}
include:
  - metalk8s.roles.etcd

{% for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler") %}
{{ image(name) }}
{% endfor %}
{{ certificate("apiserver", pki ~ "/apiserver") }}

{{ certificate("apiserver-kubelet-client", pki ~ "/apiserver-kubelet-client") }}

{{ certificate("apiserver-etcd-client", pki ~ "/apiserver-etcd-client") }}

{{ certificate("front-proxy-client", pki ~ "/front-proxy-client") }}

{{ certificate("controller-manager", pki ~ "/controller-manager") }}

{{ certificate("scheduler", pki ~ "/scheduler") }}

{{ kubeconfig("/etc/kubernetes/controller-manager.conf", "system:kube-controller-manager", "controller-manager") }}

{{ kubeconfig("/etc/kubernetes/scheduler.conf", "system:kube-scheduler", "scheduler") }}
{% if node.name != pillar.metalk8s.ca_server %}
Trust the front proxy's CA:
  file.managed:
    - name: {{ pki }}/front-proxy-ca.crt
    - contents_pillar: metalk8s:authorities:front_proxy
    - mode: '0644'

Share the key of service account tokens:
  file.managed:
    - name: {{ pki }}/sa.key
    - contents_pillar: metalk8s:secrets:sa_key
    - mode: '0600'
    - show_changes: False

Share the encryption of Secrets at rest:
  file.managed:
    - name: /etc/kubernetes/encryption.conf
    - contents_pillar: metalk8s:secrets:encryption
    - mode: '0600'
    - show_changes: False
{% endif %}

{%- set needed = [
  {"metalk8s_expand_etcd": "Promote the etcd member"},
  {"x509": "Have the certificate apiserver signed"},
  {"x509": "Have the certificate apiserver-kubelet-client signed"},
  {"x509": "Have the certificate apiserver-etcd-client signed"},
  {"x509": "Have the certificate front-proxy-client signed"},
  {"file": "Write /etc/kubernetes/controller-manager.conf"},
  {"file": "Write /etc/kubernetes/scheduler.conf"},
] %}
{%- if node.name == pillar.metalk8s.ca_server %}
{%- do needed.extend([{"x509": "Make the key of service account tokens"}, {"file": "Make the encryption of Secrets at rest"}]) %}
{%- else %}
{%- do needed.extend([
  {"file": "Trust the front proxy's CA"},
  {"file": "Share the key of service account tokens"},
  {"file": "Share the encryption of Secrets at rest"},
]) %}
{%- endif %}
{% for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler") %}
{{ static_pod(name, "salt://metalk8s/roles/master/files/" ~ name ~ ".yaml.j2",
              {"image": cluster.images[name], "address": node.address, "networks": cluster.networks},
              needed + [{"cmd": "Import the image " ~ name}]) }}
{% endfor %}
