"""The life of a job. Only this package writes a job's status.

accept     requests.py    a client's request becomes a row with the status `queued`
notify     ../broker/notifier.py, reconciler.py    workers are told that their queue holds a job; repeated if lost
claim      leases.py      a worker takes the oldest job of its queue with a lease; the row is `running`
lease      leases.py      the worker renews the lease while it works; if it dies, the lease expires and another claims
run        running.py     the worker writes progress, metrics, artifacts and checkpoints under its lease
shard      shards.py      a split job is claimed and run shard by shard; its owner sees only the parent
finish     outcomes.py    the job ends `succeeded`, `failed` or `canceled`, or returns to its queue
cancel,
resume     requests.py    a client ends a job, or puts one that has ended back into its queue
keep       retention.py   jobs that ended long ago are deleted, with their files

    queued ──claim──▶ running ──▶ succeeded | failed | canceled
       ▲                 │                    │
       └──── release ────┘◀───── resume ──────┘ (to queued)

results.py has what running.py and outcomes.py write of artifacts and models; counts.py counts jobs for the metrics;
durations.py has how long training jobs took.
"""
