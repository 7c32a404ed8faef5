"""Salt's data: targets, key fingerprints, results of orchestrations. No I/O."""
