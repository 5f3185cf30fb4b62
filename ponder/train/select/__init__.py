"""What is worth learning from: conversations in files (`conversations`), and filters of questions and answers."""
