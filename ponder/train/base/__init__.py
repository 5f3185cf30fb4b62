"""Stages around pre-training: text of this machine, texts joined, ids of them, and what a base model knows."""
