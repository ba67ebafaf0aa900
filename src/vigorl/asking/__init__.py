"""Asking a policy about a picture and watching it, turn by turn; many at once, without a page."""
