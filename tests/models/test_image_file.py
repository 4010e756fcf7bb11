"""Image files as people have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from otherview.models.image_file import MAX_PIXELS, has_transparent_parts, open_picture
from otherview.study.errors import StudyError

SIDES = (96, 64)


def opened(image: Image.Image, file: Path, exif: Image.Exif | None = None) -> Image.Image:
    image.save(file, exif=exif or Image.Exif())
    return open_picture(str(file), "scene.image")


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    upright = Image.new("RGB", SIDES, "black")
    upright.paste("white", (0, 0, 48, 64))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter to the left
    found = opened(turned, tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(upright))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, SIDES[0] * SIDES[1]).reshape(SIDES[::-1]).astype(np.uint16)
    found = np.asarray(opened(Image.fromarray(ramp), tmp_path / "deep.png"))
    np.testing.assert_array_equal(found[..., 0], np.rint(ramp / 257))


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1"])
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.new("RGB", SIDES, (255, 255, 255)).convert(mode)
    found = opened(grey, tmp_path / ("a.tiff" if mode == "CMYK" else "a.png"))
    assert found.mode == "RGB"
    assert np.asarray(found).min() == 255


def test_transparent_parts_are_white_and_said(tmp_path: Path) -> None:
    file = tmp_path / "cut_out.png"
    layer = Image.new("RGBA", SIDES, (200, 0, 0, 255))
    layer.paste((0, 0, 0, 0), (0, 0, 48, 64))
    found = opened(layer, file)
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert found.getpixel((95, 0)) == (200, 0, 0)
    assert has_transparent_parts(str(file))
    opaque = tmp_path / "opaque.png"
    opened(Image.new("RGBA", SIDES, (200, 0, 0, 255)), opaque)
    assert not has_transparent_parts(str(opaque))


def test_what_cannot_be_used_is_said_for_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole.png"
    Image.effect_noise(SIDES, 50).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:1000])
    answers = {
        tmp_path: "is a folder",
        cut: "is a damaged image",
        tmp_path / "no": "does not exist",
    }
    for file, answer in answers.items():
        with pytest.raises(StudyError, match=answer):
            open_picture(str(file), "scene.image")
    monkeypatch.setattr("otherview.models.image_file.MAX_PIXELS", SIDES[0] * SIDES[1] - 1)
    assert MAX_PIXELS > 1 << 25
    with pytest.raises(StudyError, match="96 x 64 pixels; scale it down"):
        open_picture(str(whole), "scene.image")
