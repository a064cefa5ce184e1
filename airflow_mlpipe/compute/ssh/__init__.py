"""Jobs on another machine, reached over SSH: one connection and one agent for each host and process."""
