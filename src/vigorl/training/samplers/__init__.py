"""Which prompts a phase takes; one file per way to choose, each a `sampler.Sampler`."""
