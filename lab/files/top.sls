# The declared nodes are for the master alone.
base:
  'bootstrap_master':
    - metalk8s_expand
