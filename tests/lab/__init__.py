"""One cluster on real nodes, from blank hosts to what is left when the bootstrap node is gone."""
