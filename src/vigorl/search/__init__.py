"""L3: what a teacher's search found, as traces to learn from; no lightning."""
