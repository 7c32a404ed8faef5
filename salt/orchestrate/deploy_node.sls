{#- Deploy one registered Node. The name of this SLS and its pillar are the contract that the runner and the
    page use: pillar='{"orchestrate": {"node_name": "NODE"}}'. The runner adds its fencing epoch, which hosts compare: only
    jobs of the newest run may change them. -#}
{%- set node = pillar.orchestrate.node_name %}
{%- set epoch = pillar.orchestrate.get("epoch") %}
{%- set run = {"orchestrate": {"epoch": epoch}} if epoch is not none else {} %}
{%- set known = salt["metalk8s_expand_cluster.node"](node) %}

Install the minion on {{ node }}:
  salt.state:
    - tgt: {{ node }}
    - ssh: True
    - roster: kubernetes
    - sls: metalk8s.roles.minion
    - saltenv: {{ saltenv }}

Accept the minion of {{ node }} by its fingerprint:
  metalk8s_expand_key.accepted:
    - name: {{ node }}
    - require:
      - salt: Install the minion on {{ node }}

Let the CA know {{ node }}:
  salt.function:
    - name: saltutil.refresh_pillar
    - tgt: {{ known.ca_server }}
    - kwarg:
        wait: True
        timeout: 60
    - require:
      - metalk8s_expand_key: Accept the minion of {{ node }} by its fingerprint

Sync modules to {{ node }}:
  salt.function:
    - name: saltutil.sync_all
    - tgt: {{ node }}
    - kwarg:
        saltenv: {{ saltenv }}
        refresh: True
    - require:
      - metalk8s_expand_key: Accept the minion of {{ node }} by its fingerprint

Run container runtime and kubelet on {{ node }}:
  salt.state:
    - tgt: {{ node }}
    - sls: metalk8s.roles.node
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
    - require:
      - salt: Let the CA know {{ node }}
      - salt: Sync modules to {{ node }}
{% if known.roles %}
Give {{ node }} its roles {{ known.roles | join(", ") }}:
  salt.state:
    - tgt: {{ node }}
    - sls: {{ known.roles | json }}
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
    - require:
      - salt: Run container runtime and kubelet on {{ node }}
    - require_in:
      - metalk8s_expand_node: Verify {{ node }}
{% endif %}
{%- if known.proxies %}
{#- Best effort: in a fleet a minion is always down, and a proxy that lacks one API server uses the others. #}
Let every API proxy know {{ node }}:
  salt.state:
    - tgt: {{ known.proxies | json }}
    - tgt_type: list
    - sls: metalk8s.roles.node.apiserver_proxy
    - saltenv: {{ saltenv }}
    - concurrent: True
    - allow_fail: {{ known.proxies | length }}
    - require:
      - salt: Give {{ node }} its roles {{ known.roles | join(", ") }}
    - require_in:
      - metalk8s_expand_node: Verify {{ node }}
{% endif %}
Verify {{ node }}:
  metalk8s_expand_node.verified:
    - name: {{ node }}
    - require:
      - salt: Run container runtime and kubelet on {{ node }}

Uncordon {{ node }}:
  metalk8s_expand_node.uncordoned:
    - name: {{ node }}
    - require:
      - metalk8s_expand_node: Verify {{ node }}
