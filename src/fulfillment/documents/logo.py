"""A partner's logo, made safe and small: bytes from outside become a plain RGB picture or nothing."""

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image
from reportlab.lib.utils import ImageReader

from fulfillment.documents.branding import WHITE, Colour, contrast

_MOST_BYTES = 2_000_000
_MOST_PIXELS = 16_000_000  # looked at before decoding: a small file can hold a huge picture
_PRINTED = (640, 240)  # pixels: 300 dpi at the size of the letterhead
_FAINT = 1.6  # below this contrast a logo can't be seen on white paper


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture without transparency."""

    reader: ImageReader
    width: int  # pixels
    height: int


@lru_cache(maxsize=64)
def load(png: bytes, plate: Colour) -> Logo | None:
    """Return the logo on white, or on *plate* when it is too light for white; None when it can't be used."""
    try:
        picture = _decoded(png)
    # Pillow raises many kinds of error on broken files (struct.error, zlib.error, SyntaxError): all mean one.
    except Exception:
        return None
    if picture is None:
        return None
    flat = Image.new("RGB", picture.size, _rgb(_ground(picture, plate)))
    flat.paste(picture, mask=picture.getchannel("A"))
    return Logo(ImageReader(flat), flat.width, flat.height)


def _decoded(png: bytes) -> Image.Image | None:
    if len(png) > _MOST_BYTES:
        return None
    with Image.open(io.BytesIO(png), formats=("PNG", "JPEG")) as opened:
        if opened.width * opened.height > _MOST_PIXELS:
            return None
        picture = opened.convert("RGBA")
    picture.thumbnail(_PRINTED)
    return picture


def _ground(picture: Image.Image, plate: Colour) -> Colour:
    """Return white, unless what is opaque in the picture would hardly be seen on it."""
    weight = picture.getchannel("A")
    mean = Image.composite(picture.convert("RGB"), Image.new("RGB", picture.size, _rgb(WHITE)), weight)
    darkest = min(mean.convert("L").resize((16, 16)).tobytes())
    shown = Colour(darkest, darkest, darkest)
    return plate if contrast(shown, WHITE) < _FAINT and contrast(plate, WHITE) > _FAINT else WHITE


def _rgb(colour: Colour) -> tuple[int, int, int]:
    return colour.red, colour.green, colour.blue
