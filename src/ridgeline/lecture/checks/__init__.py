"""One small check per claim, by chapter: what the public laws give for the inputs of the claim."""
