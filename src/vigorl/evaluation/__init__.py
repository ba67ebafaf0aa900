"""L3: how good a policy is, and how sure that is; no lightning."""
