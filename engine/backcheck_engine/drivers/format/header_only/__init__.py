"""Formats of which the engine knows the header only: it makes empty images and tells how large an image is.

That is enough to refuse them where QEMU does, in its words and at its time. Their data is neither read nor written:
nobody can use a node of them, which is said in one text.
"""
