"""From the text of a sweep file to plain data, with the place of every key."""
