{%- from "metalk8s/roles/map.jinja" import artifact, cluster, joins, node with context %}
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
  metalk8s_expand_host.command:
    - name: modprobe --all overlay br_netfilter; sysctl --quiet --load /etc/sysctl.d/90-metalk8s.conf
    - done: test "$(cat /proc/sys/{{ forwarded | join(" /proc/sys/") }} | xargs)" = "{{ (["1"] * forwarded | length) | join(" ") }}"
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
      - metalk8s_expand_artifacts: Unpack node.tar
      - metalk8s_expand_host: Apply the kernel's settings
    - watch:
      - file: Configure the container runtime
      - file: Install the container runtime's unit

Restart a container runtime that has come up without its Pod interface:
  metalk8s_expand_host.command:
    - name: systemctl restart containerd && { {{ serves_pods }} || { journalctl --unit containerd --lines 20 | grep error >&2; exit 1; }; }
    - done: {{ serves_pods }}
    - require:
      - service: Run the container runtime

{#- All at once, and beside the other states: it takes longer than they do. #}
{%- set images = ["pause", "kube-proxy", "flannel", "busybox"] %}
{%- if "infra" in node.roles %}{% do images.append("coredns") %}{% endif %}
{%- if "etcd" in node.roles %}{% do images.append("etcd") %}{% endif %}
{%- if "master" in node.roles %}
{%- do images.extend(["kube-apiserver", "kube-controller-manager", "kube-scheduler"]) %}
{%- endif %}
Import the images:
  metalk8s_expand_artifacts.imported:
    - name: {{ images | join(", ") }}
    - images:
{%- for name in images %}
      - reference: {{ cluster.images[name] }}
        url: {{ cluster.artifacts.url }}/images/{{ name }}.tar
        sha256: {{ cluster.artifacts.sha256["images/" ~ name ~ ".tar"] }}
{%- endfor %}
    - parallel: True
    - require:
      - service: Run the container runtime
      - metalk8s_expand_host: Restart a container runtime that has come up without its Pod interface
{%- if joins %}
    - require_in:
      - service: Run the kubelet
{%- endif %}
