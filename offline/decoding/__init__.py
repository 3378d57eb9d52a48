"""Decodes files to samples: containers, headers, joined files, and the two decoders libsndfile and ffmpeg.

``opening`` reads the first bytes and divides a file into parts (``headers`` for wav, aiff, caf, au, w64 and
flac, ``mp3``, ``ogg``). ``sndfile`` and ``ffmpeg`` decode a part, and ``opening`` joins the parts. A
``ReadReport`` lists what cannot be read; the rest is read.
"""
