# The declaration of a cluster's nodes: every key, with its default where it has one. Names, profiles and addresses
# suffice on MetalK8s.
#
# For the pillar of the master's runner only. In the pillar's top.sls:
#
#   base:
#     '<master id>_master':
#       - metalk8s_expand
#
# The bootstrap node is there already and is not declared. `salt-run metalk8s_expand.plan` shows what this would do.
metalk8s_expand:

  # What holds for every node that does not say otherwise.
  defaults:
    # The MetalK8s version (label metalk8s.scality.com/version, saltenv metalk8s-<version>); quoted, it is a text.
    # Default: the cluster's own version.
    version: '134.0.0'
    # A profile for nodes that have neither a profile nor roles. No default.
    profile: worker
    ssh:
      port: 22
      user: root
      # A private key inside of key_directory. Default: <key_directory>/salt-bootstrap
      key_path: /etc/metalk8s/pki/salt-bootstrap
      # Whether commands need sudo: true, false, yes, no.
      sudo: false

  # Where the SSH keys are; a key path outside of it is refused.
  key_directory: /etc/metalk8s/pki

  # Built in: control-plane, infra, worker, worker-infra, control-plane-infra, control-plane-worker,
  # control-plane-worker-infra. Own ones beside them:
  profiles:
    monitoring:
      # Of master, etcd, infra, node.
      roles: [infra]
      # A role's name (its NoSchedule taint), or a taint spelled out. A Pod must tolerate every taint of its node.
      taints:
        - infra
        - key: example.com/monitoring
          effect: NoSchedule
          value: 'only'
      labels:
        example.com/monitoring: 'true'

  nodes:
    # Two more control-plane nodes with etcd: three members with the bootstrap node.
    cp-1:
      profile: control-plane
      # The control-plane IP of the host, required.
      address: 10.200.0.11
    cp-2:
      profile: control-plane
      address: 10.200.0.12
    # A worker dedicated to infra services.
    infra-1:
      profile: infra
      address: 10.200.0.13
      labels:
        topology.kubernetes.io/zone: rack-2
    # A simple worker, with everything spelled out.
    worker-1:
      # Instead of a profile.
      roles: [node]
      taints: []
      address: 10.200.0.14
      version: '134.0.0'
      labels: {}
      ssh:
        # Default: the address.
        host: 10.200.0.14
        port: 22
        user: root
        key_path: /etc/metalk8s/pki/salt-bootstrap
        sudo: 'false'
        # The host's key, the line of its /etc/ssh/ssh_host_ed25519_key.pub; no other is accepted. No default.
        host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPJ0dRLQyBC2Jp2OJ6gSZOOwRZqdW9UzoTzjfjJUk0hH
      preflight:
        # Checks that are not made on this node, besides the global ones.
        skip: []

  # How many hosts are prepared, or workers deployed, at a time.
  max_parallel: 10
  # Seconds for the deployment of one node.
  deploy_timeout: 1800
  # Seconds for one SSH connection.
  ssh_timeout: 10
  # How many hosts are asked over SSH at a time.
  ssh_parallel: 32
  # Hosts without a declared host_key: 'known' must be in known_hosts; 'accept-new' are written there at first contact.
  host_keys: known

  # Addresses of nodes inside of these networks are refused. Default: the cluster's own; no other is accepted.
  networks:
    pod_cidr: 10.233.0.0/16
    service_cidr: 10.96.0.0/12

  preflight:
    # Checks that are not made on any node, by their names.
    skip: []
    # What a host must have. By role, a node needs the largest of its roles.
    thresholds:
      # Seconds between the host's clock and the master's, and the median of all hosts.
      clock_skew_s: 5
      cpus: {master: 2, etcd: 2, infra: 1, node: 1}
      memory_mb: {master: 1700, etcd: 900, infra: 900, node: 900}
      # Free, where images, Pods and etcd's data will be.
      disk_mb: {master: 5000, etcd: 5000, infra: 5000, node: 5000}
      disk_inodes: 50000
      # Of 100 small writes to etcd's disk 99 must be faster: a warning, an error.
      fsync_warning_ms: 10
      fsync_error_ms: 100
      # Seconds for one connection, for new etcd members to hear the others, and for the whole probe of a host.
      connect_timeout_s: 3
      etcd_window_s: 10
      probe_timeout_s: 20

  # A snapshot of etcd before the first member of a run is added or removed.
  etcd_snapshot:
    # Without one nothing is done to a member, unless it is switched off: true, false, yes, no.
    enabled: true
    # On the master, outside of etcd's data directory. In a container: on a volume.
    directory: /var/cache/salt/metalk8s-expand/snapshots
    # How many of this cluster stay, here and in copy_to.
    keep: 5
    # Seconds for taking it.
    timeout_s: 600
    # A mounted directory of another host, into which each is copied as well. No default.
    # copy_to: /mnt/backup/etcd

  # Days that certificates must have left: with fewer than error_days health fails, fewer than warning_days are told.
  certificates:
    error_days: 7
    warning_days: 30

  # The image of the Pods of probe=True. It needs a shell, httpd and wget. The default:
  probe_image: docker.io/library/busybox:1.37
