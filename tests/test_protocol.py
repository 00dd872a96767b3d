"""The line protocol: what is encoded decodes to the same, strangers are survived, nonsense is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elocute import protocol as p
from elocute.errors import BadInput

text = st.text(max_size=30)
messages = st.one_of(
    st.builds(p.Hello, version=text, protocol=st.integers(1, 9)),
    st.builds(p.Progress, stage=text, done=st.integers(0, 10**6), total=st.integers(0, 10**6),
              fps=st.none() | st.floats(0, 1000), message=st.none() | text),
    st.builds(p.Frame, index=st.integers(1, 10**6), path=text),
    st.builds(p.Warned, message=text),
    st.builds(p.Failed, code=text, message=text),
    st.builds(p.Done, job=text, ok=st.booleans(), result=st.dictionaries(text, st.integers() | text)),
)  # fmt: skip


@given(messages)
def test_messages_survive_the_line(message: p.Message) -> None:
    line = p.encode(message)
    assert "\n" not in line and line.isascii()
    assert p.decode_message(line) == message


@given(st.sampled_from(p.JOBS), st.dictionaries(text, text))
def test_jobs_survive_the_line(job: str, shot: dict) -> None:
    assert p.decode_request(p.encode(p.Job(job, shot))) == p.Job(job, shot)


def test_cancel_survives_the_line() -> None:
    assert p.decode_request(p.encode(p.Cancel())) == p.Cancel()


def test_a_newer_worker_is_understood() -> None:
    assert p.decode_message('{"type": "hello", "version": "9", "protocol": 9, "mood": "new"}') == p.Hello("9", 9)
    assert p.decode_message('{"type": "song", "notes": []}') is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("", "protocol_line"), ("nonsense", "protocol_line"), ("[1]", "protocol_line"),
        ("[" * 100_000, "protocol_line"),
        ("{}", "unknown_job"), ('{"job": "dance"}', "unknown_job"), ('{"job": ["speak"]}', "unknown_job"),
        ('{"job": "speak", "shot": 3}', "shot_type"),
    ],
)  # fmt: skip
def test_requests_that_are_none(line: str, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        p.decode_request(line)
    assert caught.value.code == code
    assert code != "shot_type" or (isinstance(caught.value, p.BadShot) and caught.value.job == "speak")


def test_a_message_without_its_fields_is_refused() -> None:
    with pytest.raises(BadInput):
        p.decode_message('{"type": "frame"}')


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        p.encode(p.Progress("render", 1, 2, float("nan")))


def test_the_type_stands_first_for_people_who_read_logs() -> None:
    assert list(json.loads(p.encode(p.Frame(1, "a"))))[0] == "type"
