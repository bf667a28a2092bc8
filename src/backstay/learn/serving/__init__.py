"""HTTP servers over a model: bounded connections, bounded bodies, and a policy that answers."""
