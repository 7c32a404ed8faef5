"""Faults at every moment of an expansion on real nodes, and the proof that nothing was lost. A tool of developers only."""
