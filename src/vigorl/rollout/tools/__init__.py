"""What a policy can do to a picture; one file per tool, each a `core.protocols.Tool`."""
