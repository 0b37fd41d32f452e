"""What happened, in its true order: messages and printed lines become the entries of a transcript."""
