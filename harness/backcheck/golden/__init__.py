"""Goldens: their grammar and guards, how an answer is compared with one, and how answers make one."""
