"""Settings of the whole suite. Hand-made rollouts come from `tests.builders`."""

from hypothesis import settings

# Nothing here measures time, so a slow machine must not fail a property.
settings.register_profile("vigorl", deadline=None, max_examples=50)
settings.load_profile("vigorl")
