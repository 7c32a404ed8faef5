{#- Expand the cluster from an SLS file. The pillar ``metalk8s_expand_run`` holds the arguments of the runner's
    ``expand``: nodes, profiles, max_parallel, skip_failed, probe, plan, wait_s, dry_run; without it all declared nodes are
    added. With test=True nothing is changed, and the state shows what would be. -#}
{%- set asked = pillar.get("metalk8s_expand_run") or {} %}
{%- if asked is not mapping %}
{{ raise("the pillar metalk8s_expand_run is no mapping: write the arguments of expand below it") }}
{%- endif %}
{%- set arguments = [] %}
{%- for key, value in asked.items() %}
{%- do arguments.append({key: value}) %}
{%- endfor %}

Expand the cluster:
  metalk8s_expand.expanded: {{ arguments | json }}
