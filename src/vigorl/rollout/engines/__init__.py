"""What generates turns: one file per engine, each passing tests/contract."""
