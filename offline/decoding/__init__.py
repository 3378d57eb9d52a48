"""From files to samples: containers, headers, joined files, and the two decoders libsndfile and ffmpeg.

``opening`` looks at the first bytes and says of which parts a file consists (``headers`` for wav, aiff, caf,
au, w64 and flac, ``mp3``, ``ogg``); ``sndfile`` and ``ffmpeg`` decode a part. ``opening`` joins the parts. A
``ReadReport`` has a line for what cannot be read, and the rest is read.
"""
