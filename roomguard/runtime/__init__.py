"""The trio shell around the core: sockets, rooms, the bus, the clock."""
