"""Programs with the command lines of qemu-img and qemu-io, on the engine's own block layer."""
