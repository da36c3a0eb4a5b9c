"""Capture files in, columns of packet headers out: file formats, compression, link layers, fragments."""
