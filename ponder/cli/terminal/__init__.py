"""What a person in a terminal sees and types: answers as they come, keys, slash commands, progress."""
