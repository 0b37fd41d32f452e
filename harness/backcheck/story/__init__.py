"""What a numbered case touches through `t`: images, drives, jobs, the monitor, and what it expects of them."""
