"""Rules of a run: Lease, journal, queue, events. Pure: no I/O."""
