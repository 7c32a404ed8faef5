{#- Applied over salt-ssh to a blank host: Salt's minion, with the master's key so that it accepts no other master.
    deploy_node does the same with fewer connections; this is for a deployment that is not of this project. -#}
{%- from "metalk8s/roles/map.jinja" import cluster, node with context %}
{%- set name = "salt-minion.tar" %}
{%- set sha256 = cluster.artifacts.sha256[name] %}
{%- set archive = "/var/cache/metalk8s/" ~ name %}
{%- set marker = archive ~ ".unpacked" %}
Fetch {{ name }}:
  file.managed:
    - name: {{ archive }}
    - source: {{ cluster.artifacts.url }}/{{ name }}
    - source_hash: sha256={{ sha256 }}
    - makedirs: True
    - keep_source: False
    - unless: grep -qx {{ sha256 }} {{ marker }}

{#- The marker is written last, so that an interrupted unpacking is repeated. #}
Unpack {{ name }}:
  cmd.run:
    - name: >-
        tar --extract --file {{ archive }} --directory / --no-same-owner --preserve-permissions --keep-directory-symlink
        && ldconfig
        && echo {{ sha256 }} > {{ marker }}
        && rm --force {{ archive }}
    - unless: grep -qx {{ sha256 }} {{ marker }}
    - require:
      - file: Fetch {{ name }}

Know the master by its key:
  file.managed:
    - name: /etc/salt/pki/minion/minion_master.pub
    - contents_pillar: metalk8s:master_public_key
    - mode: '0644'
    - dir_mode: '0700'
    - makedirs: True

Configure the minion:
  file.managed:
    - name: /etc/salt/minion
    - source: salt://metalk8s/roles/node/files/minion.j2
    - template: jinja
    - mode: '0640'
    - context:
        id: {{ node.name }}
        master: {{ cluster.bootstrap.address | json }}
        saltenv: {{ saltenv }}
        no_proxy: {{ pillar.metalk8s.no_proxy | json }}

Install the minion's unit:
  file.managed:
    - name: /etc/systemd/system/salt-minion.service
    - source: salt://metalk8s/roles/node/files/salt-minion.service
    - mode: '0644'

Run the minion:
  service.running:
    - name: salt-minion
    - enable: True
    - require:
      - cmd: Unpack salt-minion.tar
    - watch:
      - file: Know the master by its key
      - file: Configure the minion
      - file: Install the minion's unit
