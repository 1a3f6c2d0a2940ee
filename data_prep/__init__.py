"""From an archive of faces to one packed file.

Make an archive (`synthetic_faces`): factors of a face (`face_factors`) → lengths and colours (`face_look`) →
layers (`face_head`, `face_features`, `face_hair`, painted with `face_canvas`) → picture (`face_drawing`).

Pack an archive (`prepare_celeba`): what the user has (`image_sources`: `image_files`, `zip_archives`) and its
lists (`celeba_lists`) → one small square each (`decoding`) in several processes (`chunks`) → one file with a
journal (`packing`) in a folder of its own (`target`) → the finished result (`packed`).
"""
