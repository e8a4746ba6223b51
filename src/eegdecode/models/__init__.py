"""The networks: plain modules, ``(B, C, T) -> (B, K)``. They know neither data nor training."""
