{%- set node = pillar.orchestrate.node_name %}
{%- set address = salt.saltutil.runner("mine.get", tgt=node, fun="control_plane_ip")[node] %}
Register host as part of etcd cluster:
  metalk8s_etcd.member_present:
    - name: {{ node }}
    - peer_urls: ["https://{{ address }}:2380"]

Check etcd cluster health:
  metalk8s.module_run:
    - metalk8s_etcd.check_etcd_health: [{minion_id: {{ node }}}]
    - attempts: 31
    - sleep_time: 10
    - require: [{metalk8s_etcd: Register host as part of etcd cluster}]
