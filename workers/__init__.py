"""Everything that runs the engine: Celery, Redis, the scheduler and the command line."""
