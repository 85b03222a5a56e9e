"""Distributed training: one process, data-parallel replicas (DDP) or sharded weights (FSDP)."""
