"""Episodes in a real browser: pages with numbered elements, actions, and checks of their effect."""
