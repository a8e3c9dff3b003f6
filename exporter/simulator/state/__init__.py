"""What a simulated cluster holds: packages, nodes and versions, jobs, and the requests that it received."""
