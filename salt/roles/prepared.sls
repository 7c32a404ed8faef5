{#- Everything that a host of these roles needs before it joins the cluster, and nothing that the cluster sees. The job that
    applies it has the phase "prepare" in its pillar. -#}
{%- from "metalk8s/roles/map.jinja" import node with context %}
include:
  - metalk8s.roles.node
{%- for role in ("etcd", "master") if role in node.roles %}
  - metalk8s.roles.{{ role }}
{%- endfor %}
