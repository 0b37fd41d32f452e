"""The qcow2 format, versions 2 and 3: its metadata as plain data, and the driver that reads and writes images."""
