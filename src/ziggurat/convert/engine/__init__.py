"""What runs the work that the coordinator hands out: processes of this machine, or the workers of a Dask cluster."""
