"""The epoch as one kernel on the GPU: its sources, its compilation, its launch."""
