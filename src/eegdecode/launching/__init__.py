"""The launching wing: jobs of a sweep run here, on Slurm or on Ray. A lost job is one lost job."""
