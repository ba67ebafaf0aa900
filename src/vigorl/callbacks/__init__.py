"""L4: glue on Lightning hooks, no maths."""
