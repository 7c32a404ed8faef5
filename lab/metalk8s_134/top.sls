{%- set roles = pillar.get("metalk8s", {}).get("nodes", {}).get(grains.id, {}).get("roles", []) %}
{{ saltenv }}:
  '{{ grains.id }}':
    - metalk8s.roles.node
    {%- for role in ("etcd", "master") if role in roles %}
    - metalk8s.roles.{{ role }}
    {%- endfor %}
