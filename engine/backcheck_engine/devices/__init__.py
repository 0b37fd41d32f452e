"""The guest's devices: models and their properties, the buses of a machine, and what is plugged into them."""
