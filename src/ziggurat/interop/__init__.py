"""An image as others see it: Zarr groups over any image, virtual levels of JPEG 2000, references."""
