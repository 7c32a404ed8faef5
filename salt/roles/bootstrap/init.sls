{#- The first node, by the same roles as every other, and what only it has: CA, artifact store, administrator, add-ons. -#}
{%- from "metalk8s/roles/map.jinja" import artifact, certificate, kubeconfig, cluster, pki with context %}
include:
  - metalk8s.roles.ca
  - metalk8s.roles.bootstrap.artifacts
  - metalk8s.roles.node
  - metalk8s.roles.etcd
  - metalk8s.roles.master
  - metalk8s.roles.addons

{{ artifact("client.tar") }}

Make the key of service account tokens:
  x509.private_key_managed:
    - name: {{ pki }}/sa.key
    - algo: rsa
    - keysize: 2048
    - mode: '0600'
    - makedirs: True

Make the encryption of Secrets at rest:
  file.managed:
    - name: /etc/kubernetes/encryption.conf
    - mode: '0600'
    - replace: False
    - show_changes: False
    - contents: |
        apiVersion: apiserver.config.k8s.io/v1
        kind: EncryptionConfiguration
        resources:
          - resources: [secrets]
            providers:
              - secretbox:
                  keys:
                    - name: key1
                      secret: {{ salt["hashutil.base64_b64encode"](salt["random.get_str"](32)) }}
              - identity: {}

{{ certificate("admin", pki ~ "/admin") }}

{{ kubeconfig("/etc/kubernetes/admin.conf", "kubernetes-admin", "admin") }}
