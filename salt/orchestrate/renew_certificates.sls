{#- Renew every certificate that has less than ``certificate_renew_days`` left, on all deployed nodes, or on the one of
    pillar='{"orchestrate": {"node_name": "NODE"}}'. Control-plane nodes come one after another, the CA's first, and none
    before its predecessor is well; the others some at a time. When there is nothing to renew nothing is changed. -#}
{%- set asked = pillar.get("orchestrate", {}) %}
{%- set epoch = asked.get("epoch") %}
{%- set run = {"orchestrate": {"epoch": epoch}} if epoch is not none else {} %}
{%- set known = salt["metalk8s_expand_cluster.renewal"](asked.get("node_name")) %}
{#- Each asks for signatures through the master, a request that needs a second worker of it: when as many as it has ask at one
    moment, none is left, and all stand still for a minute. #}
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

{# One that is down keeps nobody from being renewed. #}
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
