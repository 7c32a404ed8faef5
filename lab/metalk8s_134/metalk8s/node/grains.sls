{%- for plane in ("control_plane", "workload_plane") %}
{%- set addresses = [] %}
{%- for cidr in pillar.networks[plane].cidr %}{% do addresses.extend(salt["network.ip_addrs"](cidr=cidr)) %}{% endfor %}
{%- if addresses %}
Set {{ plane }}_ip grain:
  grains.present:
    - name: metalk8s:{{ plane }}_ip
    - value: {{ addresses | sort | first }}
{%- else %}
No interface of the host is in the {{ plane }} network:
  test.fail_without_changes
{%- endif %}
{% endfor %}
