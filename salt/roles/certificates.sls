{#- Renew only the certificates of this node that expire soon. Paths come from the same table as the policies of
    the CA. Every process except the kubelet reloads a renewed file itself; no process of the control plane is restarted. -#}
{%- from "metalk8s/roles/map.jinja" import certificate, fence, node with context %}
{{ fence("renew its certificates") }}
{% for purpose, path in pillar.metalk8s.certificates | dictsort %}
{{ certificate(purpose, path) }}
{% endfor %}
Have every port serve what was renewed:
  metalk8s_expand_certificates.served:
    - name: {{ node.name }}
    - certificates: {{ pillar.metalk8s.certificates | json }}
    - address: {{ node.address | json }}
    - require:
{%- for purpose in pillar.metalk8s.certificates | sort %}
      - x509: Have the certificate {{ purpose }} signed
{%- endfor %}
