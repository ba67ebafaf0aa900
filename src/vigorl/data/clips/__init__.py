"""The made world as videos: a sign can be read in few of their frames."""
