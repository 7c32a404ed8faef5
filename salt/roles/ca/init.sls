{#- The three certificate authorities on the node that signs. Their keys are generated here and never leave it. -#}
{%- set pki = "/etc/kubernetes/pki" %}
{%- for path, name in (("ca", "kubernetes"), ("etcd/ca", "etcd-ca"), ("front-proxy-ca", "front-proxy-ca")) %}
Make the key of {{ name }}:
  x509.private_key_managed:
    - name: {{ pki }}/{{ path }}.key
    - algo: ec
    - keysize: 256
    - mode: '0600'
    - makedirs: True

Sign {{ name }} itself:
  x509.certificate_managed:
    - name: {{ pki }}/{{ path }}.crt
    - signing_private_key: {{ pki }}/{{ path }}.key
    - subject: CN={{ name }}
    - basicConstraints: "critical, CA:TRUE"
    - keyUsage: "critical, digitalSignature, keyEncipherment, keyCertSign, cRLSign"
    - subjectKeyIdentifier: hash
    - days_valid: 3650
    - days_remaining: 90
    - require:
      - x509: Make the key of {{ name }}
{% endfor %}
