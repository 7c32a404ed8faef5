{#- The interface of MetalK8s 134: pillar orchestrate.{node_name, skip_draining, drain_timeout}. -#}
{%- set node = pillar.orchestrate.node_name %}
{%- set about = pillar.metalk8s.nodes[node] %}
{%- set roles = about.roles | reject("in", about.get("skip_roles", [])) | list %}
{%- set env = "metalk8s-" ~ about.version %}
{%- set masters = salt["metalk8s.minions_by_role"]("master") | join(",") %}
{%- set healthz = "https://127.0.0.1:7443/healthz" %}
{% if node not in salt.saltutil.runner("manage.up") %}
Set grains ssh:
  salt.state:
    - ssh: True
    - roster: kubernetes
    - tgt: {{ node }}
    - saltenv: {{ env }}
    - sls: [metalk8s.node.grains]

Check node:
  salt.function:
    - name: metalk8s_checks.node
    - ssh: True
    - roster: kubernetes
    - tgt: {{ node }}
    - kwarg:
        conflicting_services: [firewalld]
        service_cidr: {{ pillar.networks.service }}
        roles: {{ roles | json }}
    - failhard: True
    - require: [{salt: Set grains ssh}]

Deploy salt-minion on a new node:
  salt.state:
    - ssh: True
    - roster: kubernetes
    - tgt: {{ node }}
    - saltenv: {{ env }}
    - sls: [metalk8s.roles.minion]
    - require: [{salt: Check node}]

Accept key:
  salt.runner:
    - name: metalk8s_saltutil.accept_minion
    - minion: {{ node }}
    - retry: {attempts: 5, interval: 3}
    - require: [{salt: Deploy salt-minion on a new node}]

Wait minion available ssh:
  salt.runner:
    - name: metalk8s_saltutil.wait_minions
    - tgt: {{ node }}
    - require: [{salt: Accept key}]
    - require_in:
      - salt: Set grains
      - salt: Refresh the mine
      - metalk8s_cordon: Cordon the node
{% endif %}
Sync module on the node:
  salt.function:
    - name: saltutil.sync_all
    - tgt: {{ node }}
    - kwarg: {saltenv: {{ env }}}

Set grains:
  salt.state:
    - tgt: {{ node }}
    - saltenv: {{ env }}
    - sls: [metalk8s.node.grains]
    - require: [{salt: Sync module on the node}]

Refresh the mine:
  salt.function:
    - name: mine.update
    - tgt: '*'

Ensure node default labels exist:
  metalk8s_kubernetes.labels_exist:
    - name: {{ node }}
    - labels:
        topology.kubernetes.io/region: default
        topology.kubernetes.io/zone: default

Cordon the node:
  metalk8s_cordon.node_cordoned:
    - name: {{ node }}
{% if not pillar.orchestrate.get("skip_draining", False) %}
Drain the node:
  metalk8s_drain.node_drained:
    - name: {{ node }}
    - timeout: {{ pillar.orchestrate.get("drain_timeout", 3600) }}
    - require: [{metalk8s_cordon: Cordon the node}]
    - require_in: [{salt: Run the highstate}]
{% endif %}
Check pillar before salt-minion configuration:
  salt.function:
    - name: metalk8s.check_pillar_keys
    - tgt: {{ node }}
    - kwarg: {keys: [networks.service], raise_error: False}
    - retry: {attempts: 5, interval: 3}
    - require: [{salt: Sync module on the node}]

Reconfigure salt-minion:
  salt.state:
    - tgt: {{ node }}
    - saltenv: {{ env }}
    - sls: [metalk8s.salt.minion.configured]
    - timeout: 300
    - require:
      - salt: Set grains
      - salt: Refresh the mine
      - salt: Check pillar before salt-minion configuration

Wait minion available:
  test.configurable_test_state:
    - changes: False
    - result: __slot__:salt:test.sleep(10)
    - comment: The minion may restart now
    - onchanges: [{salt: Reconfigure salt-minion}]
  salt.runner:
    - name: metalk8s_saltutil.wait_minions
    - tgt: {{ node }}
    - require: [{test: Wait minion available}]
    - require_in: [{http: Wait for API server to be available before highstate}]
{% if "etcd" in roles %}
Install etcd node:
  salt.state:
    - tgt: {{ node }}
    - saltenv: {{ env }}
    - sls: [metalk8s.roles.etcd]
    - pillar: {metalk8s: {skip_etcd_healthcheck: True, skip_apiserver_proxy_healthcheck: True}}
    - require: [{salt: Wait minion available}]

Register the node into etcd cluster:
  salt.runner:
    - name: state.orchestrate
    - pillar: {{ pillar | json }}
    - mods: [metalk8s.orchestrate.register_etcd]
    - saltenv: {{ env }}
    - require: [{salt: Install etcd node}]
    - require_in: [{http: Wait for API server to be available before highstate}]
{% endif %}
Wait for API server to be available before highstate:
  http.wait_for_successful_query:
    - name: {{ healthz }}
    - match: ok
    - status: 200
    - verify_ssl: False

Run the highstate:
  salt.state:
    - tgt: {{ node }}
    - highstate: True
    - saltenv: {{ env }}
    - require:
      - salt: Set grains
      - salt: Refresh the mine
      - metalk8s_cordon: Cordon the node
      - http: Wait for API server to be available before highstate

Wait for API server to be available:
  http.wait_for_successful_query:
    - name: {{ healthz }}
    - match: ok
    - status: 200
    - verify_ssl: False

Uncordon the node:
  metalk8s_cordon.node_uncordoned:
    - name: {{ node }}
    - require:
      - salt: Run the highstate
      - http: Wait for API server to be available

Kill kube-controller-manager on all master nodes:
  salt.function:
    - name: ps.pkill
    - tgt: "{{ masters }}"
    - tgt_type: list
    - fail_minions: "{{ masters }}"
    - kwarg: {pattern: kube-controller-manager}
    - require: [{salt: Run the highstate}]
{% if "infra" in roles %}
Restart CoreDNS pods:
  module.run:
    - metalk8s_kubernetes.rollout_restart:
      - name: coredns
      - namespace: kube-system
    - require: [{metalk8s_cordon: Uncordon the node}]
{% endif %}
