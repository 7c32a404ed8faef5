include:
  - metalk8s.roles.minion

Configure salt minion:
  file.managed:
    - name: /etc/salt/minion.d/99-metalk8s.conf
    - makedirs: True
    - contents: |
        grains_cache: false

Restart salt-minion:
  cmd.run:
    - name: systemd-run --on-active=3 --timer-property=AccuracySec=100ms systemctl restart salt-minion
    - onchanges: [{file: Configure salt minion}]
