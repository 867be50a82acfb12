"""Files that lie beside pictures, in zips and folders, and are none: captions, metadata, files of the system.

A decoder imports this module, so it must not need pydantic.
"""

from pathlib import PurePosixPath

MACOS_FOLDER = "__MACOSX"
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "icon\r"})
SYSTEM_FOLDERS = frozenset({"@eadir", "$recycle.bin", "system volume information"})
COMPANIONS = {  # endings of names, by what is said of the file
    "text, such as a caption": (
        ".txt .caption .tags .json .jsonl .csv .tsv .xml .yaml .yml .toml .md .rst .html .htm .pdf .log .url .webloc "
        ".md5 .sha1 .sha256 .rtf .doc .docx .odt .xls .xlsx .ods"
    ),
    "edits of a photograph, or its metadata": ".aae .xmp .thm .dop .pp3 .on1 .mie .vrd .nksc .pto .icc .icm",
    "a film": ".mov .mp4 .m4v .avi .mkv .webm .3gp .mpg .mpeg .mts .lrv",
    "a sound": ".mp3 .wav .m4a .aac .ogg .flac",
    "data, not a picture": ".npz .npy .mat .pkl .pickle .pt .pth .safetensors .ckpt .onnx .h5 .hdf5 .parquet .db",
    "a file of the operating system": ".ini .lnk .inf .plist",
    "a program": ".py .ipynb .js .css .sh .bat .cmd .ps1 .exe .dll",
}
SKIPPED_SUFFIXES = {suffix: reason for reason, suffixes in COMPANIONS.items() for suffix in suffixes.split()}


def skip_reason(path: str) -> str | None:
    """Return why a file, by its path with slashes, is no picture to learn from; None if it may be one."""
    *folders, name = path.split("/")
    if name.startswith("._") or MACOS_FOLDER in folders:
        return "metadata of macOS"
    if name.lower() in SYSTEM_FILES or any(folder.lower() in SYSTEM_FOLDERS for folder in folders):
        return "a file of the operating system"
    if any(part.startswith(".") and part != "." for part in (*folders, name)):
        return "a hidden file"
    return SKIPPED_SUFFIXES.get(PurePosixPath(name).suffix.lower())
