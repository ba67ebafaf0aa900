"""Protocols: how others ask the questions of benchmarks and read the answers; one file each."""
