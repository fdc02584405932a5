"""The parts of the model repository on a file system: places, files, placement, record, lock."""
