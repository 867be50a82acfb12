"""Job notifications, job events and worker heartbeats over Redis. Losing any of it costs time, never a job."""
