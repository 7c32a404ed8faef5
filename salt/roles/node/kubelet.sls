{%- from "metalk8s/roles/map.jinja" import certificate, kubeconfig, cluster, node, pki with context %}
{{ certificate("kubelet-client", pki ~ "/kubelet-client") }}

{{ certificate("kubelet-server", pki ~ "/kubelet-server") }}

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

Run the kubelet:
  service.running:
    - name: kubelet
    - enable: True
    - require:
      - service: Run the container runtime
      - service: Run the API proxy
      - file: Have a place for static Pods
    - watch:
      - file: Configure the kubelet
      - file: Install the kubelet's unit
      - file: Write /etc/kubernetes/kubelet.conf
      - x509: Have the certificate kubelet-client signed
      - x509: Have the certificate kubelet-server signed
