"""The fault campaign: processes killed, disks filled, files damaged. `python -m faults` runs it."""
