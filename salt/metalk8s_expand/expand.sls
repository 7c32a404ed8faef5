{#- Expand the cluster, for people who live in SLS files. The pillar ``metalk8s_expand_run`` holds the arguments of the runner's
    ``expand``: nodes, profiles, max_parallel, skip_failed, probe, plan, wait_s, dry_run; without it all that is declared is
    added. With test=True nothing is changed, and it is said what would be. -#}
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
