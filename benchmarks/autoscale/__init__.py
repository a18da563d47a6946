"""What the HPA of deploy/kubernetes does with a recorded load: replicas, waiting and cost.

`python -m benchmarks.autoscale` prints the table and writes the picture of docs/capacity.md;
`python -m benchmarks.autoscale --measure` measures this machine's service rate anew.
"""
