{#- Deploy one registered Node. The name of this SLS and its pillar are the contract that the runner and the
    page use: pillar='{"orchestrate": {"node_name": "NODE"}}'. The runner adds its fencing epoch, which hosts compare: only
    jobs of the newest run may change them. It also says if its own step has prepared the host. -#}
{%- set node = pillar.orchestrate.node_name %}
{%- set epoch = pillar.orchestrate.get("epoch") %}
{%- set run = {"orchestrate": {"phase": "join"}} %}
{%- if epoch is not none %}{% do run.orchestrate.update({"epoch": epoch}) %}{% endif %}
{%- set known = salt["metalk8s_expand_cluster.node"](node) %}
{%- if not pillar.orchestrate.get("prepared") %}
include:
  - metalk8s.orchestrate.prepare_node
{% endif %}
Let {{ node }} join the cluster:
  salt.state:
    - tgt: {{ node }}
    - sls: {{ (["metalk8s.roles.node"] + known.roles) | json }}
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
{%- if not pillar.orchestrate.get("prepared") %}
    - require:
      - salt: Prepare {{ node }}
{%- endif %}
{%- if "metalk8s.roles.master" in known.roles %}
{#- Best effort and bounded: in a fleet a minion is always down, and a proxy that lacks one API server uses the others. So
    nothing waits for it but the end. #}

Let every API proxy know {{ node }}:
  metalk8s_expand_node.known_to_proxies:
    - name: {{ node }}
    - parallel: True
    - require:
      - salt: Let {{ node }} join the cluster
{%- endif %}

Verify {{ node }}:
  metalk8s_expand_node.verified:
    - name: {{ node }}
    - heartbeat: {{ known.heartbeat | json }}
    - require:
      - salt: Let {{ node }} join the cluster

Uncordon {{ node }}:
  metalk8s_expand_node.uncordoned:
    - name: {{ node }}
    - require:
      - metalk8s_expand_node: Verify {{ node }}
