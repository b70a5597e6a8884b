"""Merging two models that share an ancestor: SLERP, tensor by tensor."""
