{%- from "metalk8s/roles/map.jinja" import artifact, fence, image, cluster with context %}
{{ fence("change this host") }}
{%- set serves_pods = "ctr plugins list | grep -E 'grpc[^ ]* +cri .*ok *$' >/dev/null" %}

{%- set forwarded = ["net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"] %}
{%- if ":" in cluster.networks.pod %}
{%- do forwarded.extend(["net/ipv6/conf/all/forwarding", "net/bridge/bridge-nf-call-ip6tables"]) %}
{%- endif %}

{{ artifact("node.tar") }}

Load kernel modules at boot:
  file.managed:
    - name: /etc/modules-load.d/metalk8s.conf
    - contents: |
        overlay
        br_netfilter

Forward packets:
  file.managed:
    - name: /etc/sysctl.d/90-metalk8s.conf
    - contents: |
        {%- for name in forwarded %}
        {{ name | replace("/", ".") }} = 1
        {%- endfor %}

Apply the kernel's settings:
  cmd.run:
    - name: modprobe --all overlay br_netfilter; sysctl --quiet --load /etc/sysctl.d/90-metalk8s.conf
    - unless: test "$(cat /proc/sys/{{ forwarded | join(" /proc/sys/") }} | xargs)" = "{{ (["1"] * forwarded | length) | join(" ") }}"
    - require:
      - file: Load kernel modules at boot
      - file: Forward packets

Configure the container runtime:
  file.managed:
    - name: /etc/containerd/config.toml
    - source: salt://metalk8s/roles/node/files/containerd.toml.j2
    - template: jinja
    - makedirs: True
    - context:
        pause: {{ cluster.images.pause }}
        systemd_cgroup: {{ cluster.get("cgroup_driver", "systemd") == "systemd" }}
        restrict_oom_score_adj: {{ cluster.get("restrict_oom_score_adj", False) }}

Install the container runtime's unit:
  file.managed:
    - name: /etc/systemd/system/containerd.service
    - source: salt://metalk8s/roles/node/files/containerd.service

Configure the Pod network:
  file.managed:
    - name: /etc/cni/net.d/10-flannel.conflist
    - source: salt://metalk8s/roles/node/files/flannel.conflist
    - makedirs: True

Run the container runtime:
  service.running:
    - name: containerd
    - enable: True
    - require:
      - cmd: Unpack node.tar
      - cmd: Apply the kernel's settings
    - watch:
      - file: Configure the container runtime
      - file: Install the container runtime's unit

Restart a container runtime that has come up without its Pod interface:
  cmd.run:
    - name: systemctl restart containerd && { {{ serves_pods }} || { journalctl --unit containerd --lines 20 | grep error >&2; exit 1; }; }
    - unless: {{ serves_pods }}
    - require:
      - service: Run the container runtime
{% for name in ("pause", "kube-proxy", "flannel", "busybox") %}
{{ image(name) }}
{% endfor %}
{%- if "infra" in pillar.metalk8s.node.roles %}
{{ image("coredns") }}
{%- endif %}
