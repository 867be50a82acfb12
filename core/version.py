"""The version of this release. The wheel, the images and the metrics have it from here."""

VERSION = "0.1.0"
