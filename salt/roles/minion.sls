{#- Applied over salt-ssh to a blank host: Salt's minion, with the master's key so that it accepts no other master. -#}
{%- from "metalk8s/roles/map.jinja" import artifact, cluster, node with context %}
{{ artifact("salt-minion.tar") }}

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
