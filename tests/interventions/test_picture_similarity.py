"""Similarities of pictures, and what is absent without the weights of a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from otherview.causes.picture_similarity import backbone_file, lpips_network, similarities


def test_a_distance_without_its_weights_is_absent_and_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    lpips_network.cache_clear()
    picture = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    reference = Image.fromarray((picture * 255).astype(np.uint8)).resize((128, 128))
    found = similarities(picture, picture, reference)
    assert set(found) == {"ssim_to_intact", "ssim_to_reference"}
    assert found["ssim_to_intact"] == pytest.approx(1)
    assert found["ssim_to_reference"] > 0.8
    assert backbone_file().is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
