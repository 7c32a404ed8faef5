# Every minion knows the cluster; the declared nodes are for the master alone.
base:
  '*':
    - cluster
  'bootstrap_master':
    - metalk8s_expand
