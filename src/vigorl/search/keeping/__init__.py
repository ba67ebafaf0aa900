"""Which questions of a search are kept; one file per rule, each a `keep.Keep`."""
