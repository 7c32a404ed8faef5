{%- from "metalk8s/roles/map.jinja" import has_static_pods, joins, kubeconfig, cluster, node, pki, prepares with context %}
{%- set configuration = ["/etc/kubernetes/kubelet.yaml", "/etc/systemd/system/kubelet.service",
                         "/etc/kubernetes/kubelet.conf", pki ~ "/kubelet-client.crt", pki ~ "/kubelet-server.crt"] %}
{%- if prepares %}
{{ kubeconfig("/etc/kubernetes/kubelet.conf", "system:node:" ~ node.name, "kubelet-client") }}

Configure the kubelet:
  file.managed:
    - name: /etc/kubernetes/kubelet.yaml
    - source: salt://metalk8s/roles/node/files/kubelet.yaml.j2
    - template: jinja
    - context:
        cluster: {{ cluster | json }}
        node: {{ node | json }}
        pki: {{ pki }}

Install the kubelet's unit:
  file.managed:
    - name: /etc/systemd/system/kubelet.service
    - source: salt://metalk8s/roles/node/files/kubelet.service.j2
    - template: jinja
    - context:
        name: {{ node.name }}
        address: {{ node.address | json }}

Have a place for static Pods:
  file.directory:
    - name: /etc/kubernetes/manifests
    - mode: '0700'
    - makedirs: True
{%- endif %}
{%- if joins %}

Run the kubelet:
  service.running:
    - name: kubelet
    - enable: True
{%- if prepares %}
    - require:
      - service: Run the container runtime
      - service: Run the API proxy
      - file: Have a place for static Pods
      - file: Configure the kubelet
      - file: Install the kubelet's unit
      - file: Write /etc/kubernetes/kubelet.conf
{%- endif %}

{#- The job that has written a file is another one than this. A kubelet reads its files only when it starts. #}
Restart a kubelet that runs with older files:
  metalk8s_expand_host.command:
    - name: systemctl daemon-reload && systemctl restart kubelet
    - done: >-
        test -z "$(find {{ configuration | join(" ") }}
        -newermt "$(systemctl show kubelet --property ActiveEnterTimestamp --value)")"
    - require:
      - service: Run the kubelet
{%- if has_static_pods %}

Let the API know the kubelet:
  metalk8s_expand_host.ready:
    - name: {{ node.name }}
    - done: test -n "$(ls -A /etc/kubernetes/manifests)"
    - require:
      - metalk8s_expand_host: Restart a kubelet that runs with older files
{%- endif %}
{%- endif %}
