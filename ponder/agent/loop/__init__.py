"""The loop of an agent: an `Agent` starts a `Run`, in which model and tools take turns until there is an answer.

`run` says whose turn it is, `model_turn` what the model is asked, `tool_turn` what becomes of its calls, `limits` when
they must end. What happens is an `event`; a `session` keeps the events, `replay` plays them again without a model.
"""
