"""Messages <-> ids: `render` writes a conversation as a prompt, `StreamParser` reads the model's turn, and both stand
on `PhaseMachine`, which knows from ids alone whether the model thinks, answers or calls."""
