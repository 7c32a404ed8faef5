{#- Objects in the cluster itself: rights of the API servers, kube-proxy, the Pod network, CoreDNS. -#}
{%- from "metalk8s/roles/map.jinja" import api, cluster, node with context %}
{%- set kubectl = "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf" %}
Wait for the API:
  metalk8s_expand_host.command:
    - name: for i in $(seq 240); do {{ kubectl }} get --raw /readyz >/dev/null 2>&1 && exit 0; sleep 0.5; done; {{ kubectl }} get --raw /readyz?verbose; exit 1
    - done: {{ kubectl }} get --raw /readyz
    - require:
      - metalk8s_expand_artifacts: Unpack client.tar
      - metalk8s_expand_host: Run kube-apiserver
      - file: Write /etc/kubernetes/admin.conf
{% for name in ("node", "rbac", "expand-rbac", "kube-proxy", "flannel", "coredns") %}
Write the add-on {{ name }}:
  file.managed:
    - name: /etc/kubernetes/addons/{{ name }}.yaml
    - source: salt://metalk8s/roles/addons/files/{{ name }}.yaml.j2
    - template: jinja
    - makedirs: True
    - context:
        cluster: {{ cluster | json }}
        node: {{ node | json }}
        api: {{ api }}

Apply the add-on {{ name }}:
  metalk8s_expand_host.command:
    - name: {{ kubectl }} apply --server-side --force-conflicts --field-manager=metalk8s-addons --filename /etc/kubernetes/addons/{{ name }}.yaml
    - done: {{ kubectl }} diff --server-side --force-conflicts --field-manager=metalk8s-addons --filename /etc/kubernetes/addons/{{ name }}.yaml
    - require:
      - metalk8s_expand_host: Wait for the API
      - file: Write the add-on {{ name }}
{% endfor %}

Say which version the cluster has:
  metalk8s_expand_host.command:
    - name: {{ kubectl }} annotate namespace kube-system metalk8s.scality.com/cluster-version={{ cluster.version }} --overwrite
    - done: {{ kubectl }} get namespace kube-system --output jsonpath='{.metadata.annotations.metalk8s\.scality\.com/cluster-version}' | grep -qx {{ cluster.version }}
    - require:
      - metalk8s_expand_host: Wait for the API

{%- for taint in node.taints %}
Taint this node {{ taint.key }}:
  metalk8s_expand_host.command:
    - name: {{ kubectl }} taint node {{ node.name }} {{ taint.key }}:{{ taint.effect }} --overwrite
    - done: {{ kubectl }} get node {{ node.name }} --output jsonpath='{.spec.taints[*].key}' | grep -qw {{ taint.key }}
    - require:
      - metalk8s_expand_host: Apply the add-on node
{% endfor %}
