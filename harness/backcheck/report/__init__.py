"""What people and machines are shown of runs: the terminal, and the matrix of implementations and cases as HTML."""
