"""L3: the LightningModules, the data module they share, and the strategies they run under."""
