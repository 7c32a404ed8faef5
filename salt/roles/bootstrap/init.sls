{#- The bootstrap node: the roles of every node, and its own CA, artifact store, administrator, add-ons. -#}
{%- from "metalk8s/roles/map.jinja" import artifact, cluster, kubeconfig, node, pki with context %}
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

{#- The host generates it, not this template: Salt stores rendered files in its cache. #}
Draw the key that encrypts Secrets at rest:
  cmd.run:
    - name: |
        set -e
        umask 077
        key=$(head --bytes=32 /dev/urandom | base64)
        test "$(printf %s "$key" | wc -c)" = 44
        cat > /etc/kubernetes/.encryption.conf << END
        apiVersion: apiserver.config.k8s.io/v1
        kind: EncryptionConfiguration
        resources:
          - resources: [secrets]
            providers:
              - secretbox:
                  keys:
                    - name: key1
                      secret: $key
              - identity: {}
        END
        mv /etc/kubernetes/.encryption.conf /etc/kubernetes/encryption.conf
    - creates: /etc/kubernetes/encryption.conf
    - require:
      - x509: Make the key of service account tokens

Make the encryption of Secrets at rest:
  file.managed:
    - name: /etc/kubernetes/encryption.conf
    - mode: '0600'
    - replace: False
    - show_changes: False
    - require:
      - cmd: Draw the key that encrypts Secrets at rest

{#- The pillar of the other control-plane nodes has it, and the master's container sees no other place. #}
Show the encryption of Secrets at rest to the master:
  file.managed:
    - name: {{ pki }}/encryption.conf
    - source: /etc/kubernetes/encryption.conf
    - mode: '0600'
    - show_changes: False
    - require:
      - file: Make the encryption of Secrets at rest

{{ kubeconfig("/etc/kubernetes/admin.conf", "kubernetes-admin", "admin") }}

{#- The Salt master's own user and the scoped one of this project. The master's container sees no other place. #}
{{ kubeconfig("/etc/salt/master-kubeconfig.conf", "salt-master", "admin") }}

{{ kubeconfig("/etc/salt/metalk8s-expand.kubeconfig", "metalk8s-expand", "metalk8s-expand") }}

Make the key of salt-api:
  x509.private_key_managed:
    - name: /etc/salt/pki/api/salt-api.key
    - algo: ec
    - keysize: 256
    - mode: '0600'
    - makedirs: True

Sign the certificate of salt-api:
  x509.certificate_managed:
    - name: /etc/salt/pki/api/salt-api.crt
    - private_key: /etc/salt/pki/api/salt-api.key
    - signing_private_key: {{ pki }}/ca.key
    - signing_cert: {{ pki }}/ca.crt
    - subject: CN=salt-api
    - basicConstraints: "critical, CA:FALSE"
    - extendedKeyUsage: serverAuth
    - subjectAltName: "IP:{{ node.address }}"
    - days_valid: 365
    - days_remaining: {{ cluster.get("certificate_renew_days", 30) }}
    - require:
      - x509: Make the key of salt-api
      - x509: Sign kubernetes itself
