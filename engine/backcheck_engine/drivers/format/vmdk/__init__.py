"""The vmdk format: disks in one or more files, described by a text; sparse, compressed or flat."""
