"""Tasks downstream: what a trained language model is asked, one kind of question a file."""
