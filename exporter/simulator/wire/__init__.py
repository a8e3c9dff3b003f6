"""HTTPS on loopback addresses: sockets, certificates, connections, and the way from request to reply."""
