"""Runs on a SLURM cluster: an executor that submits each as a job."""
