"""The command language of qemu-io, as `backcheck-io` and HMP's `qemu-io` both speak it.

`dispatch.run_command` runs one line on a backend. What only the program has (open, close, quit) is in `tools`.
"""
