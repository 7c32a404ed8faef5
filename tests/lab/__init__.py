"""Test one cluster on real nodes, from blank hosts to the loss of the bootstrap node."""
