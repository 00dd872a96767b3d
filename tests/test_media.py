import os
import subprocess
import threading
import time
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from elocute.doctor import examine
from elocute.errors import BadInput, EnvironmentProblem
from elocute.media import hear, last_words, load_audio, minutes, probe_audio

JFK = Path(__file__).parent / "data/jfk.wav"


@pytest.mark.parametrize("kind", ["mp3", "flac", "m4a"])
def test_a_length_that_a_tag_speaks_of_is_not_the_file_s(tmp_path, kind):
    file = tmp_path / f"talk.{kind}"
    ffmpeg("-i", JFK, "-t", 2, "-metadata", "comment=A great talk. Duration: 02:00:00", file)
    audio, told = hear(file)
    assert len(audio) / 16000 == pytest.approx(2, abs=0.15) and not told


@pytest.fixture(scope="module")
def original():
    return load_audio(JFK)


def ffmpeg(*arguments):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def write_wav(path, samples, rate=16000, kind="f"):
    """`samples` [N] or [N, channels] as float32 ("f") or 16-bit ("h") WAV without a layout; Python's own writer knows
    no floats."""
    samples = np.asarray(samples)
    data = samples.astype("<f4" if kind == "f" else "<i2").tobytes()
    channels, width = (samples.shape[1] if samples.ndim > 1 else 1), 4 if kind == "f" else 2
    head = b"WAVEfmt " + np.array([16], "<u4").tobytes()
    head += np.array([3 if kind == "f" else 1, channels], "<u2").tobytes()
    head += np.array([rate, rate * channels * width], "<u4").tobytes()
    head += np.array([channels * width, 8 * width], "<u2").tobytes() + b"data" + np.array([len(data)], "<u4").tobytes()
    path.write_bytes(b"RIFF" + np.array([len(head) + len(data)], "<u4").tobytes() + head + data)
    return path


def code_of(path):
    with pytest.raises(BadInput) as caught:
        load_audio(path)
    assert caught.value.exit_code == 2
    return caught.value.code


def likeness(got, wanted):
    n = min(len(got), len(wanted))
    return np.corrcoef(got[:n], wanted[:n])[0, 1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", ["-ar", "44100"]),
        ("a.m4a", ["-ar", "48000"]),
        ("a.ogg", []),
        ("a.opus", []),
        ("a.flac", ["-ar", "96000", "-ac", "2"]),
        ("a.wav", ["-c:a", "pcm_s24le", "-ac", "6"]),
        ("a8.wav", ["-c:a", "pcm_u8", "-ar", "22050"]),
        ("-weird: name%d.wav", []),
    ],
)
def test_common_formats_give_the_same_sound_in_place(tmp_path, original, name, options):
    ffmpeg("-i", JFK, *options, f"file:{tmp_path / name}")
    got = load_audio(tmp_path / name)
    assert got.dtype == np.float32 and got.ndim == 1
    assert abs(len(got) - len(original)) <= 320
    assert likeness(got, original) > 0.99  # also fails when shifted by one sample in fifty


def test_a_videos_late_track_stays_in_its_place(tmp_path, original):
    path = tmp_path / "late.mp4"
    picture = ["-f", "lavfi", "-i", "color=s=64x64:d=12", "-itsoffset", "0.5", "-i", JFK]
    ffmpeg(*picture, "-map", "0:v", "-map", "1:a", path)
    got = load_audio(path)
    assert np.abs(got[:7000]).max() < 0.01 and likeness(got[8000:], original) > 0.99


def test_resampling_keeps_tones_and_removes_what_would_alias(tmp_path):
    t = np.arange(2 * 44100) / 44100
    low = load_audio(write_wav(tmp_path / "low.wav", 0.5 * np.sin(2 * np.pi * 1000 * t), 44100))
    assert len(low) == 32000 and np.abs(low[2000:-2000]).max() == pytest.approx(0.5, rel=0.02)
    both = write_wav(
        tmp_path / "both.wav", 0.5 * np.sin(2 * np.pi * 1000 * t) + 0.5 * np.sin(2 * np.pi * 10000 * t), 44100
    )
    assert np.abs(load_audio(both)[2000:-2000] - low[2000:-2000]).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2])
def test_a_voice_is_as_loud_as_its_samples_say(tmp_path, channels):
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, 16000).astype(np.float32)
    path = write_wav(tmp_path / "v.wav", np.repeat(noise[:, None], channels, 1))
    assert np.abs(load_audio(path) - (noise - noise.mean())).max() < 1e-6


@pytest.mark.parametrize(("tracks", "voice"), [(3, 2), (4, 3), (6, 3), (8, 3), (9, 8), (13, 0), (32, 31)])
def test_a_voice_is_heard_on_whichever_track_it_is(tmp_path, tracks, voice):
    """Without a layout a guess would make a subwoofer of some, and of other counts nothing at all."""
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, 16000).astype(np.float32)
    several = np.zeros((len(noise), tracks), np.float32)
    several[:, voice] = noise
    heard = load_audio(write_wav(tmp_path / "v.wav", several))
    assert np.abs(heard - (noise - noise.mean())).max() < 1e-6


def test_a_layout_without_a_name_of_its_own_is_one(tmp_path):
    places = "aformat=channel_layouts=mono,pan=FL+FR+BL|FL=c0|FR=c0|BL=0*c0"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-af", places, tmp_path / "v.wav")
    assert probe_audio(tmp_path / "v.wav").tracks == 0


def test_tracks_that_are_too_loud_together_are_held(tmp_path, original):
    voice = 0.9 * original[:32000] / np.abs(original[:32000]).max()
    several = np.round(32767 * np.repeat(voice[:, None], 3, 1))
    heard = load_audio(write_wav(tmp_path / "v.wav", several, kind="h"))
    assert 0.9 < np.abs(heard).max() < 1.05 and likeness(heard, voice) > 0.97


def test_tracks_of_a_video_stay_in_their_place(tmp_path, original):
    several = np.zeros((32000, 3), np.float32)
    several[:, 2] = original[:32000]
    late = ["-itsoffset", 0.5, "-i", write_wav(tmp_path / "v.wav", several), "-map", "0:v", "-map", "1:a"]
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=2", *late, "-c:a", "copy", tmp_path / "late.mkv")
    got = load_audio(tmp_path / "late.mkv")
    assert np.abs(got[:7900]).max() < 0.01 and likeness(got[8000:], original[:32000]) > 0.999


def test_what_ffmpeg_says_is_told_without_its_addresses():
    said = "Input #0\n[aost#0:0/pcm @ 0x55f8] [enc:pcm_f32le @ 000001c2D8] Could not open [it] before EOF\n\n"
    assert last_words(said) == "Could not open [it] before EOF"
    assert last_words(" \n") == ""


def test_stereo_out_of_phase_is_still_heard(tmp_path, original):
    path = write_wav(tmp_path / "anti.wav", np.stack([original, -original], 1))
    assert likeness(load_audio(path), original) > 0.999


def test_an_offset_is_not_sound(tmp_path, original):
    path = write_wav(tmp_path / "offset.wav", original + 0.3)
    assert abs(load_audio(path).mean()) < 1e-6
    assert np.abs(load_audio(path, keep_offset=True) - (original + 0.3)).max() < 1e-6
    flat = write_wav(tmp_path / "flat.wav", np.full(16000, 0.3))
    assert code_of(flat) == "audio_silent"
    with pytest.raises(BadInput):
        load_audio(flat, keep_offset=True)


def test_what_is_not_there_or_not_sound(tmp_path):
    assert code_of(tmp_path / "none.wav") == "audio_missing"
    assert code_of(tmp_path) == "audio_is_directory"
    (tmp_path / "empty.wav").touch()
    assert code_of(tmp_path / "empty.wav") == "audio_empty"
    (tmp_path / "noise.wav").write_bytes(np.random.default_rng(0).bytes(5000))
    assert code_of(tmp_path / "noise.wav") == "audio_unreadable"
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64:d=1", tmp_path / "mute.mp4")
    assert code_of(tmp_path / "mute.mp4") == "audio_no_track"


def test_an_ffmpeg_that_does_not_start(tmp_path, monkeypatch):
    (tmp_path / "program").write_bytes(b"nothing that runs")
    for name, rights in (("nowhere", None), ("program", 0o600), ("program", 0o700), ("", None)):
        if rights is not None:
            (tmp_path / name).chmod(rights)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / name))
        with pytest.raises(EnvironmentProblem) as problem:
            load_audio(JFK)
        assert problem.value.code == "ffmpeg_missing" and "Unset IMAGEIO_FFMPEG_EXE" in problem.value.message
    check = next(check for check in examine()["checks"] if check["name"] == "ffmpeg")
    assert not check["ok"] and check["fix"] == "unset IMAGEIO_FFMPEG_EXE"


def test_sound_that_says_nothing(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert code_of(write_wav(tmp_path / "none.wav", np.zeros(0))) == "audio_empty"
    assert code_of(write_wav(tmp_path / "one.wav", [0.5])) == "audio_too_short"
    assert code_of(write_wav(tmp_path / "short.wav", noise[:1500])) == "audio_too_short"
    assert len(load_audio(write_wav(tmp_path / "just.wav", noise[:1600]))) == 1600
    assert code_of(write_wav(tmp_path / "zero.wav", np.zeros(16000))) == "audio_silent"
    assert (
        code_of(write_wav(tmp_path / "dither.wav", np.random.default_rng(0).integers(-1, 2, 16000), kind="h"))
        == "audio_silent"
    )
    for bad in (np.nan, np.inf):
        spoiled = noise.copy()
        spoiled[8000] = bad
        assert code_of(write_wav(tmp_path / "bad.wav", spoiled)) == "audio_nan"


def test_a_damaged_file_is_read_to_its_end_however_much_ffmpeg_says_about_it(tmp_path):
    path = tmp_path / "damaged.aac"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=80:a=0.2:seed=1", path)
    data = bytearray(path.read_bytes())
    for place in range(2000, len(data), 1000):
        data[place] ^= 0xFF
    path.write_bytes(data)
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path, "-f", "null", "-"],
                          capture_output=True).stderr  # fmt: skip
    assert len(said) > 2**16, "more than a pipe holds, or the test shows nothing"
    got = []
    reader = threading.Thread(target=lambda: got.append(load_audio(path)), daemon=True)
    reader.start()
    reader.join(60)
    assert got, "it waits for ever"
    assert len(got[0]) > 40 * 16000


def test_three_hours_are_refused_at_once(tmp_path):
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 3 * 3600 * 8000, "NONE", ""))
        file.writeframesraw(b"\0\0" * 8)
    with path.open("r+b") as file:  # sparse: takes no room on disk
        size = 44 + 3 * 3600 * 8000 * 2
        file.seek(4)
        file.write((size - 8).to_bytes(4, "little"))
        file.seek(40)
        file.write((size - 44).to_bytes(4, "little"))
        os.truncate(path, size)
    began = time.monotonic()
    with pytest.raises(BadInput, match="lasts 180 minutes; the limit is 1 hour") as caught:
        load_audio(path)
    assert caught.value.code == "audio_too_long"
    assert time.monotonic() - began < 2
    assert minutes(3600.2) == "61 minutes", "rounded it would be no more than the limit"


def test_a_file_that_hides_its_length_is_stopped_at_the_limit(tmp_path, original, monkeypatch):
    path = tmp_path / "stream.aac"  # no header states a length
    ffmpeg("-i", JFK, path)
    assert likeness(load_audio(path)[1024:], original) > 0.99  # raw AAC keeps the encoder's delay
    monkeypatch.setattr("elocute.media.MAX_SECONDS", 5.0)
    assert code_of(path) == "audio_too_long"


@pytest.mark.parametrize("name", ["v.wav", "v.flac", "v.aiff"])
def test_a_file_that_was_cut_off_is_told(tmp_path, name):
    whole = tmp_path / name
    ffmpeg("-i", JFK, "-t", 1.6, whole)
    sound, told = hear(whole)
    assert told == [] and len(sound) == 25600
    whole.write_bytes(whole.read_bytes()[: int(0.4 * whole.stat().st_size)])
    sound, told = hear(whole)
    seconds = len(sound) / 16000
    assert told == [
        f"{name} is cut off: the file promises 1.60 s and holds {seconds:.2f} s. Copy or export it again"
    ] and 0.3 < seconds < 0.7  # fmt: skip


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_whose_writer_did_not_know_its_length_promises_nothing(tmp_path, original, size):
    path = write_wav(tmp_path / "piped.wav", original[:8000])
    content = path.read_bytes()
    place = content.index(b"data") + 4
    path.write_bytes(content[:place] + size.to_bytes(4, "little") + content[place + 4 :])
    assert hear(path)[1] == []
