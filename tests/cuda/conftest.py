"""What registers a device for the whole process is imported in a process of its own alone."""

collect_ignore = ["fake_cuda.py", "on_fake_cuda.py"]
