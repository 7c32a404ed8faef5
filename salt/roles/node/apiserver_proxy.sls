{#- A TCP proxy at 127.0.0.1:7443 in front of every API server: no kubelet or controller depends on one address. -#}
{%- from "metalk8s/roles/map.jinja" import node, pki with context %}
{%- if node.name == pillar.metalk8s.ca_server %}
include:
  - metalk8s.roles.ca
{%- else %}
Trust the cluster's CA:
  file.managed:
    - name: {{ pki }}/ca.crt
    - contents_pillar: metalk8s:authorities:kubernetes
    - mode: '0644'
    - makedirs: True
    - require_in:
      - service: Run the API proxy
{%- endif %}

Configure the API proxy:
  file.managed:
    - name: /etc/metalk8s/apiserver-proxy.cfg
    - source: salt://metalk8s/roles/node/files/apiserver-proxy.cfg.j2
    - template: jinja
    - makedirs: True
    - context:
        servers: {{ pillar.metalk8s.api_servers | json }}
        authority: {{ pki }}/ca.crt

Install the API proxy's unit:
  file.managed:
    - name: /etc/systemd/system/apiserver-proxy.service
    - source: salt://metalk8s/roles/node/files/apiserver-proxy.service

Run the API proxy:
  service.running:
    - name: apiserver-proxy
    - enable: True
    - reload: True
    - require:
      - file: Install the API proxy's unit
    - watch:
      - file: Configure the API proxy
