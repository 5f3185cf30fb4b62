"""The published quantised forms of HF folders: tensors as they lie -> float32 rows, or the very codes and scales."""
