"""Proxy tasks: questions whose answers any picture gives by itself; one file per family of them."""
