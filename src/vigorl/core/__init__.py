"""L0: what the science is made of, in the standard library alone (importable without torch)."""
