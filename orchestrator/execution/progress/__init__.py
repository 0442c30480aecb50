"""What a person and the dashboard see while a sweep runs, and what is kept of it."""
