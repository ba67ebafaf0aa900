"""What generates turns; one file per engine, each a `core.protocols.Engine` that passes tests/contract."""
