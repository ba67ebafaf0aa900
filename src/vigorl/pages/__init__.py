"""L3: what a person looks at: pages of rollouts and of searches, drawn pictures, figures."""
