{#- Renew every certificate that has less than ``certificate_renew_days`` left, on all deployed nodes, or on the node of
    pillar='{"orchestrate": {"node_name": "NODE"}}'. Control-plane nodes are renewed one at a time, the CA's first, each after
    its predecessor is healthy; the others in batches. If no certificate needs renewal, nothing is changed. -#}
{%- set asked = pillar.get("orchestrate", {}) %}
{%- set epoch = asked.get("epoch") %}
{%- set run = {"orchestrate": {"epoch": epoch}} if epoch is not none else {} %}
{%- set known = salt["metalk8s_expand_cluster.renewal"](asked.get("node_name")) %}
{#- Each node requests signatures through the master, and each request needs a second worker of the master. If as many nodes
    as it has workers request at the same time, no worker is left, and all requests hang for a minute. #}
{%- set at_once = [1, [20, opts.get("worker_threads", 5) - 1] | min] | max %}

Let the CA know what it may sign:
  salt.function:
    - name: saltutil.refresh_pillar
    - tgt: {{ known.ca_server }}
    - kwarg:
        wait: True
        timeout: 60

{% for name in known.control_plane %}
Sync modules to {{ name }}:
  salt.function:
    - name: saltutil.sync_all
    - tgt: {{ name }}
    - kwarg:
        saltenv: {{ saltenv }}
        refresh: True

Renew the certificates of {{ name }}:
  salt.state:
    - tgt: {{ name }}
    - sls: metalk8s.roles.certificates
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
    - require:
      - salt: Let the CA know what it may sign
      - salt: Sync modules to {{ name }}
{%- if not loop.first %}
      - metalk8s_expand_node: See that {{ loop.previtem }} is well
{%- endif %}

See that {{ name }} is well:
  metalk8s_expand_node.well:
    - name: {{ name }}
    - require:
      - salt: Renew the certificates of {{ name }}
{% endfor %}

{%- for names in known.others | batch(at_once) %}
Sync modules to {{ names | join(", ") }}:
  salt.function:
    - name: saltutil.sync_all
    - tgt: {{ names | json }}
    - tgt_type: list
    - kwarg:
        saltenv: {{ saltenv }}
        refresh: True

{# A node that is down does not prevent the renewal of other nodes. #}
Renew the certificates of {{ names | join(", ") }}:
  salt.state:
    - tgt: {{ names | json }}
    - tgt_type: list
    - sls: metalk8s.roles.certificates
    - saltenv: {{ saltenv }}
    - pillar: {{ run | json }}
    - require:
      - salt: Let the CA know what it may sign
{% endfor %}

{%- if known.absent %}
{#- Last, so that the failure names the nodes and stops no renewal. #}

Reach the minions of {{ known.absent | join(", ") }}:
  test.fail_without_changes:
    - comment: >-
        The minions of {{ known.absent | join(", ") }} do not answer, so their certificates were not renewed. Start the
        minions, then run the same command again.
    - order: last
{%- endif %}
