"""L3: a teacher's tree search, and the worked solutions that come from it; no lightning."""
