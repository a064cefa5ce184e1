"""A Ray cluster as a compute target, over its Jobs API: plain HTTP, no Ray on this side."""
