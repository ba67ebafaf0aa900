"""Extra dialogs about finished rollouts; one file per probe, each a `probe.Probe`."""
