# The architecture of the page "Cluster expansion": three control-plane members with the bootstrap node, a worker
# dedicated to infra, a simple worker. worker-2 stays undeclared, for the page's own commands by hand. Version and
# networks are the cluster's own.
metalk8s_expand:
  # All hosts write to one disk, under whatever load the machine has.
  preflight:
    thresholds:
      fsync_warning_ms: 1000
      fsync_error_ms: 10000
  nodes:
    cp-1:
      profile: control-plane
      address: @cp-1@
    cp-2:
      profile: control-plane
      address: @cp-2@
    infra-1:
      profile: infra
      address: @infra-1@
    worker-1:
      profile: worker
      address: @worker-1@
