"""Programs under test as processes: starting them, ending them, and asking what they can do."""
