{#- The store that every other node installs from: files only, over HTTP, each pinned by its checksum in the pillar. -#}
{%- from "metalk8s/roles/map.jinja" import cluster with context %}
Install the artifact store's unit:
  file.managed:
    - name: /etc/systemd/system/metalk8s-artifacts.service
    - source: salt://metalk8s/roles/bootstrap/files/artifacts.service.j2
    - template: jinja
    - context:
        address: {{ cluster.bootstrap.address | json }}
        port: {{ (cluster.artifacts.url | regex_search(":([0-9]+)/?$") or ("80",))[0] }}
        directory: {{ cluster.artifacts.directory }}

Run the artifact store:
  service.running:
    - name: metalk8s-artifacts
    - enable: True
    - order: 1
    - watch:
      - file: Install the artifact store's unit
