"""From an archive of faces to one packed file.

Make an archive (`synthetic_faces`), in `faces`: `factors` of a face → lengths and colours (`look`) → layers
(`head`, `features`, `hair`, painted with `canvas`) → picture (`drawing`).

Pack an archive (`prepare_celeba`), in `packing`: what the user has (`sources`) and its `lists` → one small
square each (`decoding`) → one file with a journal, and the finished result (`store`).

Both share their work among processes (`workers`). `small_files` measures small files against one archive.
"""
