{#- Prepare the host of one registered Node: minion, container runtime, images, certificates, configuration. The cluster sees
    nothing of it, so all hosts can be prepared at the same time. The pillar is that of deploy_node. -#}
{%- set node = pillar.orchestrate.node_name %}
{%- set epoch = pillar.orchestrate.get("epoch") %}
{%- set run = {"orchestrate": {"phase": "prepare"}} %}
{%- if epoch is not none %}{% do run.orchestrate.update({"epoch": epoch}) %}{% endif %}
{%- set known = salt["metalk8s_expand_cluster.node"](node) %}

{#- Beside the state that follows: the policies of the node come from its declaration. #}
Let the CA know {{ node }}:
  salt.function:
    - name: saltutil.refresh_pillar
    - tgt: {{ known.ca_server }}
    - kwarg:
        wait: True
        timeout: 60
    - parallel: True

Run the minion of {{ node }}:
  metalk8s_expand_minion.running:
    - name: {{ node }}
    - archive: {{ known.minion.archive | json }}
    - configuration: {{ dict(known.minion.configuration, saltenv=saltenv) | json }}
    - unit: metalk8s/roles/node/files/salt-minion.service
    - saltenv: {{ saltenv }}

Prepare {{ node }}:
  salt.state:
    - tgt: {{ node }}
    - sls: metalk8s.roles.prepared
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
    - require:
      - metalk8s_expand_minion: Run the minion of {{ node }}
      - salt: Let the CA know {{ node }}
