"""What music is to the model: fields and code tables, instruments, the note table, encode, decode, text, prompts, grammar."""
