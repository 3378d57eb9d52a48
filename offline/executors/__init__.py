"""Five executors with one interface (``executor.Executor``) that transcribe recordings.

``executor.OneProcess`` transcribes one recording after the other, ``worker_processes.WorkerProcesses``
several at once, each with its own model. On a GPU, windows of many recordings share a batch: ``Pipeline``
has processes that read, decode and write for one network; ``BatchedWorker`` does the same in one process, as
a worker of a cluster. ``cluster.Cluster`` uses the workers of a Dask scheduler. All of them run
``offline.recording_task`` for each recording.
"""
