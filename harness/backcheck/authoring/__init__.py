"""What a person does with cases besides running them: begin, review, renumber."""
