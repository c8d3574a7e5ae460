"""What the tests stand on: processes with a readiness handshake, scripted backends, raw clients."""
