"""Physics: linear operators with their adjoints, and the likelihoods built on them."""
