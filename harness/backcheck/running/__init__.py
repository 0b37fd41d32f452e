"""A run of many cases, from the options of `backcheck run` to the judgement of each case and of the whole."""
