"""The parts of the registry: places, transport, credentials, layouts on disk, and the port itself."""
