"""The machine: what the command line asked for, built, run until somebody ends it, and taken apart."""
