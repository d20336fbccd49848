"""karat's numbers in other people's training: metrics for torchmetrics, a callback for Lightning.

Nothing is imported here, so that each needs its own library only.
"""
