"""Jobs on a Slurm cluster, through its own commands on the login node."""
