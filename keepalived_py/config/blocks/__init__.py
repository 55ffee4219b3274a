"""The keywords, block by block: each one is declared here and nowhere else."""
