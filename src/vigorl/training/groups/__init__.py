"""Which groups a phase generates and learns from; a file per method, a `method.GroupMethod`."""
