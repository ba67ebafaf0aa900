"""L2: the policy, its log-probabilities, its losses, how its weights travel; no lightning."""
