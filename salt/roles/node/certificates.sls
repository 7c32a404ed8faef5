{#- All certificates of this node. Each key is generated here; the CA's node signs by the policies of this node. -#}
{%- from "metalk8s/roles/map.jinja" import cluster, node, pki with context %}
{%- set authorities = {"ca": "kubernetes"} %}
{%- if "etcd" in node.roles %}{% do authorities.update({"etcd/ca": "etcd"}) %}{% endif %}
{%- if "master" in node.roles %}{% do authorities.update({"front-proxy-ca": "front_proxy"}) %}{% endif %}
{%- if node.name == pillar.metalk8s.ca_server %}
include:
  - metalk8s.roles.ca
{% else %}
{%- for path, name in authorities | dictsort %}
Trust the CA {{ name }}:
  file.managed:
    - name: {{ pki }}/{{ path }}.crt
    - contents_pillar: metalk8s:authorities:{{ name }}
    - mode: '0644'
    - makedirs: True
    - require_in:
      - metalk8s_expand_certificates: Have the certificates signed
{% endfor %}
{%- endif %}
Have the certificates signed:
  metalk8s_expand_certificates.signed:
    - name: {{ node.name }}
    - certificates: {{ pillar.metalk8s.certificates | json }}
    - contents: {{ pillar.metalk8s.certificate_contents | json }}
    - days_remaining: {{ cluster.get("certificate_renew_days", 30) }}
{%- if node.name == pillar.metalk8s.ca_server %}
    - require:
{%- for name in ("kubernetes", "etcd-ca", "front-proxy-ca") %}
      - x509: Sign {{ name }} itself
{%- endfor %}
{%- else %}
    - ca_server: {{ pillar.metalk8s.ca_server }}
{%- endif %}
