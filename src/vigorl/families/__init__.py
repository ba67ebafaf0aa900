"""What differs between model families: a file each, and the rest of the house asks."""
