"""From files to samples: containers, lengths, joined streams, and the two decoders libsndfile and ffmpeg.

``opening`` looks at the first bytes and says of which parts a file consists (``lengths`` for wav, aiff, caf,
au, w64 and flac, ``mp3``, ``ogg``); ``sndfile`` and ``ffmpeg`` decode a part, ``joined`` one part after the
other. What cannot be read is said in a line (``Report``), and the rest is read.
"""
