"""What the doctor looks at: one function per question, each gives rows of the table."""
