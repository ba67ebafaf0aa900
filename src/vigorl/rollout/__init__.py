"""L2: dialogs between a policy and a picture: tools, environment, engines, and their record."""
