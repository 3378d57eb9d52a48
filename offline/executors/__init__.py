"""Who transcribes the recordings: five executors with one interface (``executor.Executor``), one job body.

``executor.OneProcess`` does one recording after the other, ``worker_processes.WorkerProcesses`` several
at once, each with its own model. Where a GPU computes, windows of many recordings share a batch:
``Pipeline`` has processes that read, decode and write for one network; ``BatchedWorker`` does the same in
one process, as a worker of a cluster. ``cluster.Cluster`` uses the workers of a Dask scheduler. In each
of them a recording goes through ``offline.recording_task``.
"""
