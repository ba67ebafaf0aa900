"""Ways of writing tool calls, one file each; what they promise: `core.markup`."""
