"""What is true about nodes, quorum and plans whatever the world answers: standard library only, no I/O, no clock."""
