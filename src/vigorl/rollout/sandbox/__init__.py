"""A process for a policy's code: `cell` starts and judges it, `walls` is what it starts with."""
