"""The engine: brings one application on one cluster to what Git says. It knows no queue and no web framework."""
