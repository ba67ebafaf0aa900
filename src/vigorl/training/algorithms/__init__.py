"""Policy gradient algorithms; one file per algorithm, each a `protocol.Algorithm`."""
