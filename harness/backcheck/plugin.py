"""The pytest plugin: collects numbered cases when it is asked to, and nothing else."""
