"""QEMU's command line: its option syntax, its options, and what they ask for.

`parse` of `reader` turns an argv into `Settings`, which know no graph and no loop; the machine builds itself from them.
"""
