{#- The store that every other node installs from: files only, over HTTP, each pinned by its checksum in the pillar. -#}
{%- from "metalk8s/roles/map.jinja" import cluster with context %}
Install the artifact store's unit:
  file.managed:
    - name: /etc/systemd/system/metalk8s-artifacts.service
    - source: salt://metalk8s/roles/bootstrap/files/artifacts.service.j2
    - template: jinja
    - context:
        address: {{ cluster.bootstrap.address }}
        port: {{ cluster.artifacts.url.rsplit(":", 1)[1] }}
        directory: {{ cluster.artifacts.directory }}

Run the artifact store:
  service.running:
    - name: metalk8s-artifacts
    - enable: True
    - order: 1
    - watch:
      - file: Install the artifact store's unit
