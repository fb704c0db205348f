"""Model families, one file each: a page of lecture notes with the code beside the maths."""
