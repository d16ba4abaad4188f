"""Video and audio in and out: nothing else opens a media file."""
