"""What tests of several rooms share: a fleet in this process, the daemon as a process, a real Prometheus."""
