"""Places where bytes lie: disks, object stores, web servers, memory. Knows nothing of images."""
