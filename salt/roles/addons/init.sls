{#- Objects in the cluster itself: rights of the API servers, kube-proxy, the Pod network, CoreDNS. -#}
{%- from "metalk8s/roles/map.jinja" import api, cluster, node with context %}
{%- set kubectl = "/usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf" %}
Wait for the API:
  cmd.run:
    - name: for i in $(seq 240); do {{ kubectl }} get --raw /readyz >/dev/null 2>&1 && exit 0; sleep 0.5; done; {{ kubectl }} get --raw /readyz?verbose; exit 1
    - unless: {{ kubectl }} get --raw /readyz
    - require:
      - metalk8s_expand_artifacts: Unpack client.tar
      - cmd: Run kube-apiserver
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
  cmd.run:
    - name: {{ kubectl }} apply --server-side --force-conflicts --field-manager=metalk8s-addons --filename /etc/kubernetes/addons/{{ name }}.yaml
    - unless: {{ kubectl }} diff --server-side --force-conflicts --field-manager=metalk8s-addons --filename /etc/kubernetes/addons/{{ name }}.yaml
    - require:
      - cmd: Wait for the API
      - file: Write the add-on {{ name }}
{% endfor %}

Say which version the cluster has:
  cmd.run:
    - name: {{ kubectl }} annotate namespace kube-system metalk8s.scality.com/cluster-version={{ cluster.version }} --overwrite
    - unless: {{ kubectl }} get namespace kube-system --output jsonpath='{.metadata.annotations.metalk8s\.scality\.com/cluster-version}' | grep -qx {{ cluster.version }}
    - require:
      - cmd: Wait for the API

{%- for taint in node.taints %}
Taint this node {{ taint.key }}:
  cmd.run:
    - name: {{ kubectl }} taint node {{ node.name }} {{ taint.key }}:{{ taint.effect }} --overwrite
    - unless: {{ kubectl }} get node {{ node.name }} --output jsonpath='{.spec.taints[*].key}' | grep -qw {{ taint.key }}
    - require:
      - cmd: Apply the add-on node
{% endfor %}
