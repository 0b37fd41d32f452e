"""qcow, version 1: two levels of tables, no reference counts; clusters are only ever added at the file's end."""
