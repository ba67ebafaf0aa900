"""How an answer is made of what a policy samples: rules, one file each."""
