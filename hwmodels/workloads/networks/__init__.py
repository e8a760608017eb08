"""Networks as plain JAX functions, traced by shape."""
