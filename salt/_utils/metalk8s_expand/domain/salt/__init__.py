"""Salt's data: targets, key fingerprints, results of orchestrations. Pure."""
