# In the place of MetalK8s's own pillar: every minion knows the cluster.
@SALTENV@:
  '*':
    - cluster
